"""Weighted combinations of personas: `E+ & 0.5*N-`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pasctl.errors import InputError

Parts = tuple[tuple[float, str], ...]
"""(weight, persona) of each part."""


def is_combination(name: str) -> bool:
    """Whether a persona's name is a combination of others."""
    return "&" in name or "*" in name


def parse_combination(name: str) -> Parts:
    """The weight and the persona of each part, in the order given; a part without a weight has 1.

    Raises:
        InputError: a part without a persona, or a weight that is no finite number.
    """
    return tuple(_parts(name))


def _parts(name: str) -> Iterator[tuple[float, str]]:
    for part in name.split("&"):
        weight, star, persona = part.rpartition("*")
        try:
            value = float(weight) if star else 1.0
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not persona.strip():
            raise InputError(
                f"combination {name!r}: expected personas with weights, as in 'E+ & 0.5*N-', found {part.strip()!r}"
            )
        yield value, persona.strip()
