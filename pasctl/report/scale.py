"""Scales: from data to pixels, with round numbers to mark on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear scale.

    Attributes:
        low: data at `start`.
        high: data at `stop`.
        start: pixels; more than `stop` on an axis that runs upward.
        stop: pixels.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, about: int = 5) -> list[tuple[float, str]]:
        """Round values on the scale, about so many, and how they are written."""
        raw = (self.high - self.low) / max(about, 1)
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= raw * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9) + (round(step / power, 3) == 2.5))
        return [(count * step, f"{count * step + 0.0:,.{digits}f}") for count in range(first, last + 1)]


def bounds(values: Iterable[float | None], margin: float = 0.06, least: float = 1e-6) -> tuple[float, float]:
    """The range that values take, with some room beside them; (0, 1) without any value."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    room = max((high - low) * margin, least if high > low else max(abs(high) * margin, 0.05))
    return low - room, high + room


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved as little as a simple pass allows until they are `gap` apart, in the same order, inside a range."""
    order = sorted(range(len(places)), key=lambda each: places[each])
    moved = [places[each] for each in order]
    for place in range(1, len(moved)):
        moved[place] = max(moved[place], moved[place - 1] + gap)
    limit = high
    for place in reversed(range(len(moved))):
        moved[place] = max(min(moved[place], limit), low)
        limit = moved[place] - gap
    found = [0.0] * len(places)
    for place, each in enumerate(order):
        found[each] = moved[place]
    return found
