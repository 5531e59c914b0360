"""The world that the demo model learns: people who answer the built-in inventory, and words for what they are like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasctl.inventory import Inventory
from pasctl.inventory.builtin import builtin_inventory
from pasctl.inventory.simulate import CLEAR, latent_scores, simulate

TRAITS = ("O", "C", "E", "A", "N")

# Training draws people from this seed on, a new one for each block of steps: those of the personas "demo" are not met.
TRAINING_SEEDS = 1000

# What a trait's poles are called in a system text: high, then low.
TRAIT_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "O": (("curious", "imaginative", "inventive"), ("conventional", "practical", "unimaginative")),
    "C": (("tidy", "reliable", "diligent"), ("careless", "messy", "unreliable")),
    "E": (("outgoing", "talkative", "lively"), ("reserved", "quiet", "shy")),
    "A": (("kind", "trusting", "polite"), ("cold", "suspicious", "rude")),
    "N": (("anxious", "moody", "irritable"), ("calm", "relaxed", "cheerful")),
}
_CLEAR = 0.4  # standard deviations from the mean from which a word is said of a person


@dataclass(frozen=True, eq=False)
class People:
    """N people.

    Attributes:
        agreements: int64 [N, I], 1..5.
        traits: float64 [N, 5], in the order O C E A N, in standard deviations.
    """

    agreements: NDArray[np.int64]
    traits: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.agreements)


def inventory() -> Inventory:
    """The inventory of this world: pasctl's built-in one."""
    return builtin_inventory()


def draw_people(n: int, seed: int) -> People:
    """N people; another seed gives others."""
    asked = inventory()
    answers = simulate(asked, n, seed, CLEAR, label="demo").agreements.astype(np.int64)
    scores = latent_scores(asked, CLEAR, n, seed)
    first = [asked.traits.index(trait) for trait in TRAITS]
    return People(answers, scores[:, first])


def describe(traits: NDArray[np.float64], rng: np.random.Generator, most: int = 5) -> str:
    """Sentences such as "You are outgoing. You are careless." about one person's clear traits; may be empty."""
    words = [
        TRAIT_WORDS[trait][0 if score > 0 else 1]
        for trait, score in zip(TRAITS, traits, strict=True)
        if abs(score) > _CLEAR
    ]
    chosen = rng.permutation(len(words))[:most]
    return " ".join(f"You are {words[place][rng.integers(len(words[place]))]}." for place in chosen)
