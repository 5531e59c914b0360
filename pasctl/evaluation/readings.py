"""The ways in which an evaluation reads an answer: letters of the options, or statements as the model's own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.inventory.options import expected_scores, relative_chances
from pasctl.inventory.scale import USUAL_ENDS

LETTERS, STATEMENTS = "letters", "statements"
READINGS = (LETTERS, STATEMENTS)
AUTO = "auto"
LEAST_MASS = 0.5
"""Probability that the option letters must have together for a model to count as one that answers with them."""
MOST_DISAGREEMENT = 1.0
"""Points, of a scale of the usual width, by which the answers of two option orders may differ on average."""
CHECKED_ITEMS = 24
"""Fit items that a model is tried on: the mean disagreement is then known to about a fifth of a point."""


@dataclass(frozen=True)
class ReadingCheck:
    """How a model answers with letters, and which reading that suits.

    Attributes:
        option_mass: probability of the options together, mean over items and both orders.
        disagreement: |expected agreement in one option order - in the other|, mean over items.
        items: how many were asked.
    """

    option_mass: float
    disagreement: float
    items: int

    @property
    def reading(self) -> str:
        """Letters where the model gives them, whatever their order; else statements."""
        fits = self.option_mass >= LEAST_MASS and self.disagreement < MOST_DISAGREEMENT
        return LETTERS if fits else STATEMENTS

    @property
    def reason(self) -> str:
        """One line that says what was found and chosen."""
        return (
            f"reading {self.reading}: on {self.items} fit items the answer letters have {self.option_mass:.2f} of the "
            f"probability (letters need {LEAST_MASS:g}), and answers in two option orders differ by "
            f"{self.disagreement:.2f} points (letters need less than {MOST_DISAGREEMENT:g})"
        )

    def to_json(self) -> dict[str, Any]:
        """As results keep it."""
        return {
            "reading": self.reading,
            "option_mass": self.option_mass,
            "disagreement": self.disagreement,
            "items": self.items,
        }


def check_letters(level_logprobs: NDArray[np.floating[Any]], level_scores: NDArray[np.float64]) -> ReadingCheck:
    """What answers in two option orders say about letters as a reading.

    Args:
        level_logprobs: [2, I, K], log-probability in the whole vocabulary of the letter for the option of the lowest,
            .. highest score.
        level_scores: what these score [I, K]; NaN beyond an item's last.
    """
    mass = np.nansum(np.exp(np.asarray(level_logprobs, dtype=np.float64)), axis=-1)
    chances = relative_chances(level_logprobs)
    width = np.nanmax(level_scores, axis=1, keepdims=True) - np.nanmin(level_scores, axis=1, keepdims=True)
    expected = expected_scores(chances, level_scores * (USUAL_ENDS[1] - USUAL_ENDS[0]) / width)
    return ReadingCheck(float(mass.mean()), float(np.abs(expected[0] - expected[1]).mean()), chances.shape[1])


def parse_readings(text: str) -> tuple[str, ...] | None:
    """Read a comma list of readings, each once, in the order given; None for "auto". The first is the main one.

    Raises:
        InputError: an unknown reading, or none at all.
    """
    asked = [name.strip() for name in text.split(",") if name.strip()]
    if asked == [AUTO]:
        return None
    if "text" in asked:
        raise InputError(
            "reading text is not a questionnaire's, expected letters or statements",
            hint="see what a persona writes with `pasctl say`",
        )
    unknown = [name for name in asked if name not in READINGS]
    if unknown or not asked:
        named = ", ".join(unknown) or "nothing"
        raise InputError(f"reading {named} is unknown, expected {AUTO} or a comma list of {', '.join(READINGS)}")
    return tuple(dict.fromkeys(asked))


def readings_of(table: list[dict[str, Any]]) -> list[str]:
    """The readings that a table of metrics has, in order; results of earlier versions are of letters alone."""
    names = dict.fromkeys(row.get("reading", LETTERS) for row in table)
    return [name for name in names if name] or [LETTERS]


def of_reading(table: list[dict[str, Any]], reading: str) -> list[dict[str, Any]]:
    """The rows of one reading, and those that need no model."""
    return [row for row in table if row.get("reading", LETTERS) in (reading, "")]
