"""Made-up words and names for tasks, none of which occurs in the filler."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

ADJECTIVES = (
    "amber", "brisk", "candid", "dapper", "eager", "frugal", "gentle", "hollow", "ivory", "jovial", "keen", "lunar",
    "mellow", "nimble", "opaque", "placid", "quaint", "rustic", "silent", "tepid", "urbane", "vivid", "witty", "zesty",
)  # fmt: skip
NOUNS = (
    "anvil", "beacon", "cipher", "dynamo", "engine", "fjord", "gadget", "harbor", "island", "jigsaw", "kernel",
    "locket", "magnet", "nectar", "oyster", "prism", "quiver", "rocket", "summit", "turret", "unicorn", "vector",
    "whistle", "yonder", "zephyr",
)  # fmt: skip


def keys(rng: random.Random) -> Iterator[str]:
    """Keys such as "brisk-anvil", no two alike."""
    pairs = [f"{adjective}-{noun}" for adjective in ADJECTIVES for noun in NOUNS]
    rng.shuffle(pairs)
    yield from pairs


def numbers(rng: random.Random) -> Iterator[str]:
    """Numbers of seven digits, no two alike."""
    return _distinct(lambda: str(rng.randrange(1_000_000, 10_000_000)))


def identifiers(rng: random.Random) -> Iterator[str]:
    """Identifiers of 32 hexadecimal digits in the form of a UUID, no two alike."""

    def one() -> str:
        digits = f"{rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    return _distinct(one)


def coined(rng: random.Random, syllables: int = 3) -> Iterator[str]:
    """Words such as "tavori", no two alike."""
    return _distinct(lambda: "".join(rng.choice("bcdfghjklmnprstvz") + rng.choice("aeiou") for _ in range(syllables)))


def _distinct(draw: Callable[[], str]) -> Iterator[str]:
    seen: set[str] = set()
    while True:
        word = draw()
        if word not in seen:
            seen.add(word)
            yield word
