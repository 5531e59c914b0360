"""Key-value lookup: lines `key: value` of made-up words; after N. F. Liu and others, "Lost in the Middle", TACL 2024.

Every line looks like every other, so nothing but the key tells the one asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pasctl.memory.tasks.filler import weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream

OPENING = "Each line below tells a key and its value. Remember them: you will be asked for the value of a key."
SYLLABLES = 3  # 85 ** 3 words: enough for texts of two million tokens


def _fresh_words(rng: random.Random) -> Iterator[str]:
    """Words such as "tavori", all of one length and no two alike."""
    seen: set[str] = set()
    while True:
        word = "".join(rng.choice("bcdfghjklmnprstvz") + rng.choice("aeiou") for _ in range(SYLLABLES))
        if word not in seen:
            seen.add(word)
            yield word


def make(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """One line at `depth` among as many others as fit."""
    rng = random_stream("keyvalue", length, depth, seed)
    words = _fresh_words(rng)
    lines = (f"{key}: {value}" for key, value in zip(words, words, strict=False))
    line = next(lines)
    key, _, value = line.partition(": ")
    text = weave(length, [(depth, line)], lines, count, separator="\n", opening=OPENING)
    question = f"What is the value of the key {key}?"
    return Trial("keyvalue", length, depth, seed, text, question, (value,), (line,))
