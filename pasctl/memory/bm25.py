"""BM25 over the pieces of a text: the baseline that any retrieval has to beat.

After S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with its usual
k1 = 1.5 and b = 0.75 and the smoothed inverse document frequency that is never negative.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

K1, B = 1.5, 0.75
PIECE_TOKENS = 64
"""Most tokens of a piece; one ends earlier, at the end of a sentence, once it has half of them."""
_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
_END = re.compile(r"[.!?](?=\s)|[。！？\n]")


def bm25(pieces: Sequence[str], question: str) -> NDArray[np.float64]:
    """Score of each piece for a question, float64 [P]; 0 where they share no word."""
    counts = [Counter(_words(piece)) for piece in pieces]
    lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
    mean = lengths.mean() if len(lengths) and lengths.any() else 1.0
    scores = np.zeros(len(pieces))
    for word in dict.fromkeys(_words(question)):
        often = np.array([count[word] for count in counts], dtype=np.float64)
        pieces_with = np.count_nonzero(often)
        rarity = np.log1p((len(pieces) - pieces_with + 0.5) / (pieces_with + 0.5))
        scores += rarity * often * (K1 + 1) / (often + K1 * (1 - B + B * lengths / mean))
    return scores


def piece_bounds(text: str, starts: Sequence[int]) -> list[int]:
    """Token bounds of pieces that begin where sentences do, the number of tokens at the end.

    Args:
        text: the text.
        starts: the character that each of its tokens begins at.
    """
    ends = iter([match.end() for match in _END.finditer(text)])
    end, bounds = next(ends, None), [0]
    for token, start in enumerate(starts):
        sentence_ended = False
        while end is not None and end <= start:
            end, sentence_ended = next(ends, None), True
        size = token - bounds[-1]
        if size >= PIECE_TOKENS or (sentence_ended and size >= PIECE_TOKENS // 2):
            bounds.append(token)
    return [*bounds, len(starts)] if len(starts) > bounds[-1] else bounds


def select_tokens(text: str, starts: Sequence[int], question: str, *, first: int, budget: int, last: int) -> list[int]:
    """Places of the tokens to keep, in order: the first ones, the pieces that fit a question best, the last ones.

    Args:
        text: the text.
        starts: the character that each of its tokens begins at.
        question: what is asked.
        first: tokens kept at the beginning.
        budget: most tokens of pieces from between; of pieces that score alike the earlier.
        last: tokens kept at the end.
    """
    count = len(starts)
    if count <= first + budget + last:
        return list(range(count))
    bounds = piece_bounds(text, starts)
    characters = [*starts, len(text)]
    spans = list(pairwise(bounds))
    scores = bm25([text[characters[start] : characters[stop]] for start, stop in spans], question)
    kept = {*range(first), *range(count - last, count)}
    room = budget
    for place in np.argsort(-scores, kind="stable"):
        more = set(range(*spans[place])) - kept
        if len(more) <= room:
            kept |= more
            room -= len(more)
    return sorted(kept)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
