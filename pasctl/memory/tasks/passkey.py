"""Pass key: one five-digit number in filler (after A. Mohtashami and M. Jaggi, "Landmark Attention", NeurIPS 2023)."""

from __future__ import annotations

from typing import Literal

from pasctl.memory.tasks.filler import repetitive, varied, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream

OPENING = "A pass key is hidden in the long text below. Find it and remember it: you will be asked for it."
QUESTION = "What is the five-digit pass key in the text?"


def make(
    length: int, depth: float, seed: int, count: CountTokens, filler: Literal["repetitive", "varied"] = "repetitive"
) -> Trial:
    """A pass key at `depth` of a text of `length` tokens."""
    task = "passkey" if filler == "repetitive" else "passkey-varied"
    rng = random_stream(task, length, depth, seed)
    key = str(rng.randrange(10_000, 100_000))
    statement = f"The pass key is {key}. Remember it. {key} is the pass key."
    sentences = repetitive(rng) if filler == "repetitive" else varied(rng)
    text = weave(length, [(depth, statement)], sentences, count, opening=OPENING)
    return Trial(task, length, depth, seed, text, QUESTION, (key,), (statement,))


def make_varied(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """The same in prose that does not repeat."""
    return make(length, depth, seed, count, filler="varied")
