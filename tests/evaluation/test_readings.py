"""Which readings there are, and which one suits a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.readings import check_letters, of_reading, parse_readings, readings_of
from tests.evaluation.tables import level_scores


def answers(expected: list[list[int]], mass: float) -> np.ndarray:
    """Log-probabilities [2, I, 5] of a model that is sure of these agreements, with so much mass on the letters."""
    chances = np.full((2, len(expected[0]), 5), 1e-9)
    for order, levels in enumerate(expected):
        chances[order, np.arange(len(levels)), np.array(levels) - 1] = 1.0
    return np.log(mass * chances / chances.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("expected", "mass", "reading", "disagreement"),
    [
        ([[5, 1, 3, 2], [5, 1, 3, 2]], 0.9, "letters", 0.0),
        ([[5, 1, 3, 2], [5, 1, 3, 2]], 0.4, "statements", 0.0),
        ([[5, 5, 5, 5], [1, 1, 1, 1]], 0.9, "statements", 4.0),  # always the same letter
        ([[5, 1, 3, 2], [4, 2, 3, 3]], 0.9, "letters", 0.75),
        ([[5, 1, 3, 2], [3, 2, 3, 4]], 0.9, "statements", 1.25),
    ],
)
def test_letters_suit_a_model_that_gives_them_whatever_their_order(
    expected: list[list[int]], mass: float, reading: str, disagreement: float
) -> None:
    check = check_letters(answers(expected, mass), level_scores(len(expected[0])))
    assert check.reading == reading
    assert check.option_mass == pytest.approx(mass)
    assert check.disagreement == pytest.approx(disagreement, abs=1e-6)
    assert check.reason.startswith(f"reading {reading}: on 4 fit items")


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("auto", None),
        ("letters", ("letters",)),
        ("statements, letters", ("statements", "letters")),
        ("statements,statements", ("statements",)),
    ],
)
def test_readings_are_a_list_in_the_order_given(text: str, readings: tuple[str, ...] | None) -> None:
    assert parse_readings(text) == readings


@pytest.mark.parametrize("text", ["", ",", "essay", "auto,letters"])
def test_other_readings_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected auto or a comma list of letters, statements"):
        parse_readings(text)


def test_text_is_refused_with_the_command_that_has_it() -> None:
    with pytest.raises(InputError) as refusal:
        parse_readings("statements,text")
    assert "pasctl say" in str(refusal.value.hint)


def test_rows_of_a_reading_stand_beside_the_baselines_and_earlier_results_are_of_letters() -> None:
    table: list[dict[str, Any]] = [{"reading": "letters"}, {"reading": "statements"}, {"reading": ""}]
    assert readings_of(table) == ["letters", "statements"]
    assert of_reading(table, "statements") == table[1:]
    earlier: list[dict[str, Any]] = [{"condition": "pas"}, {"condition": "constant-3"}]
    assert readings_of(earlier) == ["letters"]
    assert of_reading(earlier, "letters") == earlier
