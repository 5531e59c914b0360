"""The page's table of whether answers are the person's, and rows of statements beside those of letters."""

from __future__ import annotations

from typing import Any

import pytest

from pasctl.report.sections.labels import condition, kind, label
from pasctl.report.sections.personal import personal_table
from tests.evaluation.tables import PERSONAL

STATEMENTS: dict[str, Any] = {
    "reading": "statements",
    "condition": "pas",
    "setting": "4",
    "option_mass": None,
    "personas": 24,
    **PERSONAL,
}


@pytest.mark.parametrize(
    ("changed", "expected", "named"),
    [
        ({}, "steered", "pas, statements, α 4"),
        ({"condition": "random-direction"}, "control", "random-direction, statements, α 4"),
        ({"condition": "no-change", "setting": ""}, "told", "no-change, statements"),
        ({"reading": "letters", "option_mass": 0.5}, "steered", "pas, α 4"),
        ({"reading": "", "condition": "ridge", "setting": ""}, "baseline", "ridge"),
    ],
)
def test_rows_without_letters_are_not_all_baselines(changed: dict[str, Any], expected: str, named: str) -> None:
    row = STATEMENTS | changed
    assert kind(row) == expected
    assert label(row) == named
    assert named.startswith(condition(row))


def test_the_table_has_the_rows_that_know_something_of_the_person() -> None:
    unknown = STATEMENTS | {"condition": "no-change", "setting": "", "distinctive_r": None}
    table = personal_table([unknown, STATEMENTS, {"condition": "pas", "setting": "4"}])
    assert table is not None
    [row] = table.rows
    assert [cell.text for cell in row] == [*("pas, statements", "4", "24", "0.124", "−0.004", "7.1", "12.5", "38%")]
    assert personal_table([unknown]) is None
