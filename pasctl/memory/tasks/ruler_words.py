"""Counting and tracking of RULER's kinds: common words, frequent words, and variables that have one value.

What has to be counted is all over the text, so a depth says nothing here; it is drawn from like the seed is.
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_uppercase

from pasctl.errors import InputError
from pasctl.memory.tasks.filler import around, varied, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream
from pasctl.memory.tasks.words import coined

COMMON, COMMON_TIMES, RARE_TIMES = 10, 30, 3
FREQUENT, VOCABULARY, EXPONENT = 3, 40, 2.0
HOPS, CHAINS, SPREAD = 4, 2, 0.2


def make_common(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Ten words that stand in a numbered list ten times as often as any other; all ten are asked for."""
    task = "common-words"
    rng = random_stream(task, length, depth, seed)
    opening = "The numbered list below has some words more often than others. Remember the most common ones."
    words = coined(rng)
    common = [next(words) for _ in range(COMMON)]
    rare = [next(words) for _ in range(max(length, 8))]

    def text(size: int, times: int) -> str:
        entries = [word for word in common for _ in range(times)]
        entries += [word for word in rare[:size] for _ in range(max(1, times // (COMMON_TIMES // RARE_TIMES)))]
        random_stream(task, length, depth, seed + 1).shuffle(entries)
        return f"{opening}\n\n" + " ".join(f"{number}. {word}" for number, word in enumerate(entries, 1))

    times = next((n for n in (COMMON_TIMES, 20, 10, 5) if count(text(2, n)) <= length), 0)
    if not times:
        raise InputError(f"a list of {length} tokens cannot hold its {COMMON} common words", hint="ask for more")
    size = _largest(len(rare), lambda n: count(text(n, times)) <= length)
    question = f"What are the {COMMON} most common words of the list? Answer with them alone, separated by commas."
    body = text(size, times)
    return Trial(task, length, depth, seed, body, question, tuple(common), tuple(common))


def make_frequent(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Coined words whose numbers fall like 1 / rank ** 2 (Zipf); the three most frequent are asked for."""
    task = "frequent-words"
    rng = random_stream(task, length, depth, seed)
    opening = "The text below is in a code. Its words are separated by blanks; dots are noise. Remember frequent words."
    words = coined(rng)
    ranked = [next(words) for _ in range(VOCABULARY)]
    weights = [1 / rank**EXPONENT for rank in range(1, VOCABULARY + 1)]

    def text(size: int) -> str:
        entries = [word for word, weight in zip(ranked, weights, strict=True) for _ in range(round(size * weight))]
        entries += ["..."] * (size // 20)
        random_stream(task, length, depth, seed + 1).shuffle(entries)
        return f"{opening}\n\n" + " ".join(entries)

    if count(text(20)) > length:
        raise InputError(f"a text of {length} tokens cannot hold its {VOCABULARY} words", hint="ask for more")
    body = text(_largest(length, lambda n: count(text(n)) <= length))
    question = f"What are the {FREQUENT} most frequent words of the coded text? Answer with them alone."
    top = tuple(ranked[:FREQUENT])
    return Trial(task, length, depth, seed, body, question, top, top)


def make_variables(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Chains VAR a = 12345, VAR b = VAR a, ...; all variables that have one number are asked for."""
    task = "variable-tracking"
    rng = random_stream(task, length, depth, seed)
    names: list[str] = []
    while len(names) < CHAINS * (HOPS + 1):
        name = "".join(rng.sample(ascii_uppercase, 5))
        if name not in names:
            names.append(name)
    values = rng.sample(range(10_000, 100_000), CHAINS)
    facts: list[tuple[float, str]] = []
    for number, value in enumerate(values):
        chain = names[number * (HOPS + 1) : (number + 1) * (HOPS + 1)]
        sources = [str(value), *(f"VAR {name}" for name in chain)]
        depths = around(depth, len(chain), SPREAD) if number == 0 else sorted(rng.random() for _ in chain)
        facts += [(d, f"VAR {name} = {of}.") for d, name, of in zip(depths, chain, sources[:-1], strict=True)]
    opening = "Variables are assigned in the text below. Remember which of them have the same value."
    text = weave(length, facts, varied(rng), count, opening=opening)
    question = f"Which {HOPS + 1} variables have the value {values[0]}? Answer with their names alone."
    evidence = tuple(statement for _, statement in facts[: HOPS + 1])
    return Trial(task, length, depth, seed, text, question, tuple(names[: HOPS + 1]), evidence)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n from 0 to `most` that fits, fitting being lost but once."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
