"""Scenes: what made-up people did in one place each, three sentences a person; the question asks about one of them.

A scene is an event in the sense of EM-LLM: its first words cannot be foreseen, and what follows speaks of the same
person and the same folk. Every scene looks like every other, so nothing but the name tells the one asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pasctl.memory.tasks.filler import WORDS, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream
from pasctl.memory.tasks.words import coined

OPENING = "Each scene below tells of one person. Remember what happened: you will be asked about one of them."


def make(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """What somebody sold, in the scene at `depth` among as many others as fit."""
    rng = random_stream("scenes", length, depth, seed)
    names = coined(rng)
    name, goods = next(names).capitalize(), rng.choice(WORDS["goods"])
    scene = _scene(rng, name, goods)
    text = weave(length, [(depth, scene)], _scenes(rng, names), count, opening=OPENING)
    question = f"What did {name} sell? Answer with it alone."
    return Trial("scenes", length, depth, seed, text, question, (goods,), (scene,))


def _scenes(rng: random.Random, names: Iterator[str]) -> Iterator[str]:
    while True:
        yield _scene(rng, next(names).capitalize(), rng.choice(WORDS["goods"]))


def _scene(rng: random.Random, name: str, goods: str) -> str:
    place, folk, thing = (rng.choice(WORDS[kind]) for kind in ("place", "folk", "thing"))
    return f"{name} stood {place}. {name} sold {goods} to {folk}. {folk.capitalize()} gave {name} {thing}."
