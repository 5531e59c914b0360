"""Metrics of long-context benchmarks: pure functions from a reply and the expected answers to a score from 0 to 1.

They follow what the benchmarks publish: LongBench (arXiv 2308.14508), InfiniteBench (2402.13718), RULER (2404.06654),
MRCR. Where ours differ, docs/benchmarks.md says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

Metric = Callable[[str, Sequence[str], Sequence[str]], float]
"""Score of a reply, given the expected answers and the choices."""

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PARTS = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"\d+")
_COMMENTS = ("`", "#", "//")
_LETTER = r"\dA-Za-z\u00c0-\u024f"


def words(text: str) -> list[str]:
    """Words in lower case without punctuation and English articles; of Chinese the single characters."""
    plain = "".join(sign for sign in text.lower() if not unicodedata.category(sign).startswith("P"))
    return _PARTS.findall(_ARTICLES.sub(" ", plain))


def f1(reply: Sequence[str], expected: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over words, each counted as often as it occurs in both."""
    shared = sum((Counter(reply) & Counter(expected)).values())
    return 2 * shared / (len(reply) + len(expected)) if shared else 0.0


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence; O(len(a)) array steps."""
    if not a or not b:
        return 0
    codes: dict[str, int] = {}
    second = np.array([codes.setdefault(word, len(codes)) for word in b])
    row = np.zeros(len(b) + 1, dtype=np.int64)
    for word in a:
        grown = np.where(second == codes.get(word, -1), row[:-1] + 1, row[1:])
        row[1:] = np.maximum.accumulate(grown)
    return int(row[-1])


def qa_f1(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """F1 over words, with the answer that fits best."""
    return max((f1(words(reply), words(answer)) for answer in expected), default=0.0)


def rouge_l(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """ROUGE-L: F1 of the longest common subsequence of words, with the answer that fits best."""
    best, said = 0.0, _PARTS.findall(reply.lower())
    for answer in expected:
        wanted = _PARTS.findall(answer.lower())
        if said and wanted:
            best = max(best, 2 * longest_common(said, wanted) / (len(said) + len(wanted)))
    return best


def classification(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """1 / n if the reply names n classes and the right one is among them.

    A class whose name is a part of the right one's does not count.
    """
    best = 0.0
    for answer in expected:
        named = [name for name in choices if name in reply and (name == answer or name not in answer)]
        best = max(best, 1 / len(named) if answer in named else 0.0)
    return best


def retrieval(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """Share of the numbers in the reply that are the expected paragraph's."""
    return max((_share_of_numbers(reply, answer) for answer in expected), default=0.0)


def count(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """Share of the numbers in the reply that are the expected one."""
    return max((_share_of_numbers(reply, answer) for answer in expected), default=0.0)


def _share_of_numbers(reply: str, answer: str) -> float:
    wanted, said = _NUMBER.findall(answer), _NUMBER.findall(reply)
    return said.count(wanted[0]) / len(said) if wanted and said else 0.0


def code_similarity(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """Edit similarity of the expected line and the reply's first line of code (difflib's ratio)."""
    lines = (line for line in reply.lstrip("\n").split("\n") if not any(mark in line for mark in _COMMENTS))
    line = next(lines, "")
    return max((_ratio(line.strip(), answer.strip()) for answer in expected), default=0.0)


def string_match_all(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """Share of the expected strings that occur in the reply, in either case of letters."""
    return sum(answer.lower() in reply.lower() for answer in expected) / len(expected) if expected else 0.0


def string_match_part(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """1 if one of the expected strings occurs in the reply, in either case of letters."""
    return float(any(answer.lower() in reply.lower() for answer in expected))


def whole_words(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """1 if every expected answer occurs as a whole word or number, and no other choice does."""
    occurs = {name.lower(): _occurs(name, reply) for name in (*expected, *choices)}
    wanted = {answer.lower() for answer in expected}
    return float(bool(wanted) and all((name in wanted) == there for name, there in occurs.items()))


def _occurs(name: str, reply: str) -> bool:
    return bool(re.search(rf"(?<![{_LETTER}]){re.escape(name)}(?![{_LETTER}])", reply, re.IGNORECASE))


def exact(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """1 if the reply is an expected answer, case, punctuation and articles aside."""
    return float(any(words(reply) == words(answer) for answer in expected))


def multiple_choice(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """1 if the reply gives the letter of the right choice, or else the words of no choice but the right one."""
    right = {place for place, name in enumerate(choices) if name in expected}
    letters = "".join(chr(ord("A") + place) for place in range(len(choices)))
    if not right:
        return 0.0
    # a lone "A" in the midst of words may be the article
    match = re.match(rf"\W*([{letters}])(?![\w'])(?! [a-z])", reply)
    match = match or re.search(rf"(?i:answer|choice|option)(?: is)?\W*\b([{letters}])\b", reply)
    if match:
        return float(letters.index(match[1]) in right)
    said = reply.lower()
    named = [place for place, name in enumerate(choices) if name and name.lower() in said]
    longest = [p for p in named if not any(q != p and choices[p].lower() in choices[q].lower() for q in named)]
    return float(bool(longest) and set(longest) <= right)


def similarity(reply: str, expected: Sequence[str], choices: Sequence[str]) -> float:
    """Edit similarity of the whole reply (difflib's ratio).

    If there is a choice, it is what a reply must begin with, and is left out of the comparison (MRCR).
    """
    begin = choices[0] if choices else ""
    if not reply.startswith(begin):
        return 0.0
    return max((_ratio(reply.removeprefix(begin), answer.removeprefix(begin)) for answer in expected), default=0.0)


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b, autojunk=False).ratio() if a and b else 0.0


METRICS: dict[str, Metric] = {
    "f1": qa_f1,
    "rouge-l": rouge_l,
    "classification": classification,
    "retrieval": retrieval,
    "count": count,
    "code": code_similarity,
    "match-all": string_match_all,
    "match-part": string_match_part,
    "words": whole_words,
    "exact": exact,
    "choice": multiple_choice,
    "similarity": similarity,
}
BINARY = frozenset({"match-part", "words", "exact", "choice"})
"""Metrics that are 0 or 1."""


def mean_score(scores: Sequence[float]) -> dict[str, Any]:
    """Mean of scores and its 95% interval: Wilson's where all are 0 or 1, else a bootstrap's over items.

    The interval is None of a graded metric with fewer than three items, where a bootstrap covers too little.
    """
    mean = sum(scores) / len(scores)
    if all(score in (0.0, 1.0) for score in scores):
        return {"score": round(mean, 4), "interval": [round(bound, 4) for bound in wilson(mean, len(scores))]}
    bounds = bootstrap(scores) if len(scores) > 2 else None
    return {"score": round(mean, 4), "interval": None if bounds is None else [round(bound, 4) for bound in bounds]}


def wilson(share: float, trials: int) -> tuple[float, float]:
    """The 95% interval of a share of so many trials, by Wilson's score."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = 1.96 * (share * (1 - share) / trials + z2 / (4 * trials**2)) ** 0.5 / (1 + z2 / trials)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def bootstrap(scores: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of a mean; the same for the same scores in any order."""
    values = np.sort(np.asarray(scores, dtype=np.float64))
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
