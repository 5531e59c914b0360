"""The answers that an item offers: what they are called, and what they score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from string import ascii_uppercase
from typing import Any

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError

FEWEST_POINTS, MOST_POINTS = 2, 11
_MOST_SCORE = 100

USUAL_POINTS = 5
"""Of the built-in inventory: where nothing else is said, a scale is 1 to this."""
USUAL_LETTERS = ascii_uppercase[:USUAL_POINTS]
"""What its options are named by."""
Ends = tuple[Any, Any]
"""The lowest and the highest score: numbers, or arrays [N] with those of N items."""
USUAL_ENDS: Ends = (1.0, float(USUAL_POINTS))
USUAL_SPAN = 1.0 + USUAL_POINTS
"""Lowest and highest score together: less an answer it is the reversed one."""
USUAL_MIDDLE = USUAL_SPAN / 2


@dataclass(frozen=True)
class Scale:
    """The options of an item, from the highest score down.

    Attributes:
        labels: What the K options are called.
        scores: What they score, none higher than the one before. Without any they count down to 1: K, .., 2, 1. Options
            with texts of their own may score the same.
    """

    labels: tuple[str, ...]
    scores: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuses less than two options or more than eleven, equal labels, and scores in another order."""
        count = len(self.labels)
        if not FEWEST_POINTS <= count <= MOST_POINTS:
            raise InputError(f"scale: expected {FEWEST_POINTS} to {MOST_POINTS} options, found {count}")
        if len(set(self.labels)) < count or not all(label.strip() for label in self.labels):
            raise InputError(f"scale: expected different labels, found {list(self.labels)}")
        if not self.scores:
            object.__setattr__(self, "scores", tuple(range(count, 0, -1)))
        if len(self.scores) != count or not all(
            type(score) is int and abs(score) <= _MOST_SCORE for score in self.scores
        ):
            raise InputError(f"scale: expected a whole number for each of {count} options, found {list(self.scores)}")
        if any(later > earlier for earlier, later in pairwise(self.scores)):
            raise InputError(f"scale: expected scores from the highest down, found {list(self.scores)}")
        if self.scores[0] == self.scores[-1]:
            raise InputError(f"scale: expected scores that differ, found {list(self.scores)}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def low(self) -> int:
        """The lowest score."""
        return self.scores[-1]

    @property
    def high(self) -> int:
        """The highest score."""
        return self.scores[0]

    @property
    def middle(self) -> float:
        """Half-way between them; above it an answer agrees."""
        return (self.low + self.high) / 2

    @property
    def counts_to_one(self) -> bool:
        """Whether the scores are the plain K, .., 2, 1."""
        return self.scores == tuple(range(len(self), 0, -1))

    @cached_property
    def ascending(self) -> npt.NDArray[np.float64]:
        """Scores from the lowest up, [K]: of level 1, 2, .. K."""
        return np.array(self.scores[::-1], dtype=np.float64)

    def label_of(self, score: float) -> str:
        """What the answer of this score is called; of several the first.

        Raises:
            InputError: no answer scores this.
        """
        if score not in self.scores:
            raise InputError(f"expected one of the scores {self.told}, found {score:g}")
        return self.labels[self.scores.index(int(score))]

    def nearest(self, score: float) -> int:
        """The score of the option nearest to this one; of two as near, the one further from the middle.

        Raises:
            InputError: it lies beyond the scale.
        """
        if not self.low <= score <= self.high:
            raise InputError(f"expected a score on the scale {self.told}, found {score:g}")
        # ten digits, so that 3.5 stays half-way whichever sums it came from
        return min(self.scores, key=lambda own: (round(abs(own - score), 10), -abs(own - self.middle)))

    @property
    def told(self) -> str:
        """The scores in words: "1..5", or one by one where they are not consecutive whole numbers."""
        up = sorted(set(self.scores))
        consecutive = all(later - earlier == 1 for earlier, later in pairwise(up))
        return f"{up[0]}..{up[-1]}" if consecutive and len(up) > 2 else ", ".join(map(str, up))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"labels": list(self.labels), "scores": list(self.scores)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Scale:
        """Inverse of `to_json`."""
        return cls(tuple(document["labels"]), tuple(document["scores"]))
