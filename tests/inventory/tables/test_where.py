"""Respondents selected by other columns: what is true of them, and only of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasctl.errors import InputError
from pasctl.inventory import builtin_inventory, load_personas
from pasctl.inventory.spec import population_of

INVENTORY = builtin_inventory()
PEOPLE = "\n".join(
    [
        "id,age,country,E01,E02",
        "a,31,DE,5,1",
        "b,24,AT,4,2",
        "c,n/a,DE,2,4",
        "d,30.0,de,1,",
        "e,65,CH,,",
    ]
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "people.csv").write_text(PEOPLE)
    return str(tmp_path / "people.csv")


@pytest.mark.parametrize(
    ("select", "ids"),
    [
        ("where=country=DE", "acd"),
        ("where=country=DE|AT", "abcd"),
        ("where=country!=DE", "be"),
        ("where=age>=30", "ade"),
        ("where=age=30", "d"),
        ("where=age<31,country=de", "d"),
        ("where=answered>0", "abcd"),
        ("where=answered=2", "abc"),
        ("where=Country=DE:0-2", "ac"),
        ("where=country=DE:2", "d"),
        ("where=country=DE:case=c", "c"),
        ("1-3", "bc"),
        ("case=e,a", "ea"),
    ],
)
def test_who_is_selected(file: str, select: str, ids: str) -> None:
    assert "".join(load_personas(f"{file}:{select}", INVENTORY).ids) == ids
    assert population_of(f"{file}:{select}") == file


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("where=contry=DE", "there is no column 'contry' to select by"),
        ("where=country=FR", "nobody of 5 respondents is like that"),
        ("where=country", "a condition such as country=DE"),
        ("where=age>old", "a condition such as"),
        ("where=country=DE:0-9", "0-9 does not lie within the 3"),
        ("where=country=DE:case=b", "no case b among 3"),
        ("first", "'first' is no selection"),
    ],
)
def test_what_selects_nobody_is_refused(file: str, select: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_personas(f"{file}:{select}", INVENTORY)
