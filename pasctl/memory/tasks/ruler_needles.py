"""Needles of RULER's kinds (C.-P. Hsieh and others, "RULER", COLM 2024), in our words and with our filler.

    kind                what stands between    keys told   values of a key   keys asked for   values
    niah-single-1       five sentences         1           1                 1                numbers
    niah-single-2       prose                  1           1                 1                numbers
    niah-single-3       prose                  1           1                 1                identifiers
    niah-multikey-1     prose                  4           1                 1                numbers
    niah-multikey-2     other needles          all         1                 1                numbers
    niah-multikey-3     other needles          all         1                 1                identifiers
    niah-multivalue     prose                  1           4                 1                numbers
    niah-multiquery     prose                  4           1                 4                numbers

The evidence stands around the depth, over `SPREAD` of the text where there are several pieces of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pasctl.memory.tasks.filler import around, repetitive, varied, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream
from pasctl.memory.tasks.words import coined, identifiers, keys, numbers

SPREAD = 0.2


@dataclass(frozen=True)
class Kind:
    """What tells the needles of one kind from those of others."""

    between: Literal["repetitive", "varied", "needles"] = "varied"
    keys: int = 1
    values: int = 1
    asked: int = 1
    identifiers: bool = False


KINDS = {
    "niah-single-1": Kind("repetitive"),
    "niah-single-2": Kind(),
    "niah-single-3": Kind(identifiers=True),
    "niah-multikey-1": Kind(keys=4),
    "niah-multikey-2": Kind("needles"),
    "niah-multikey-3": Kind("needles", identifiers=True),
    "niah-multivalue": Kind(values=4),
    "niah-multiquery": Kind(keys=4, asked=4),
}


def make(task: str, length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """A trial of a kind."""
    kind, rng = KINDS[task], random_stream(task, length, depth, seed)
    noun = "vault identifier" if kind.identifiers else "vault number"
    values = identifiers(rng) if kind.identifiers else numbers(rng)
    names = coined(rng) if kind.between == "needles" else keys(rng)
    told = [(next(names), [next(values) for _ in range(kind.values)]) for _ in range(kind.keys)]
    asked = told[: kind.asked]
    wanted = [_needle(noun, name, value) for name, own in asked for value in own]
    others = [_needle(noun, name, value) for name, own in told[kind.asked :] for value in own]
    facts = list(zip(around(depth, len(wanted), SPREAD), wanted, strict=True))
    facts += [(rng.random(), other) for other in others]
    filler = {
        "repetitive": lambda: repetitive(rng),
        "varied": lambda: varied(rng),
        "needles": lambda: _needles(noun, names, values),
    }[kind.between]()
    opening = f"Each of some {noun}s belongs to a name, and they stand in the text below. Remember them for later."
    text = weave(length, facts, filler, count, opening=opening)
    question = _question(noun, [name for name, _ in asked], kind.values)
    answers = tuple(value for _, own in asked for value in own)
    return Trial(task, length, depth, seed, text, question, answers, tuple(wanted))


def _needle(noun: str, name: str, value: str) -> str:
    return f"A {noun} of {name} is {value}."


def _needles(noun: str, names: Iterator[str], values: Iterator[str]) -> Iterator[str]:
    while True:
        yield _needle(noun, next(names), next(values))


def _question(noun: str, names: list[str], values: int) -> str:
    if len(names) > 1:
        return f"What are the {noun}s of {', '.join(names[:-1])} and {names[-1]}? Answer with all of them."
    if values > 1:
        return f"What are the {values} {noun}s of {names[0]}? Answer with all of them."
    return f"What is the {noun} of {names[0]}? Answer with it alone."


make_single_1 = partial(make, "niah-single-1")
make_single_2 = partial(make, "niah-single-2")
make_single_3 = partial(make, "niah-single-3")
make_multikey_1 = partial(make, "niah-multikey-1")
make_multikey_2 = partial(make, "niah-multikey-2")
make_multikey_3 = partial(make, "niah-multikey-3")
make_multivalue = partial(make, "niah-multivalue")
make_multiquery = partial(make, "niah-multiquery")
