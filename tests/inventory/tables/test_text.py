"""Text files of answers: one set of people, written in many ways, is read as the same people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.inventory import Inventory, PersonaSet, builtin_inventory, load_personas, read_answers, simulate
from pasctl.inventory.items import Item
from pasctl.inventory.tables.read import read_table
from pasctl.inventory.tables.table_map import map_of

INVENTORY = builtin_inventory()
IDS = list(INVENTORY.position)
LABELS = dict(zip(INVENTORY.scale.scores, INVENTORY.scale.labels, strict=True))


@pytest.fixture(scope="module")
def people() -> PersonaSet:
    """24 people, of whom some did not answer some items."""
    everybody = simulate(INVENTORY)
    answers = everybody.agreements[:24].copy()
    answers[3, 5] = answers[7, :4] = np.nan
    return PersonaSet("people", tuple(f"s{n:02d}" for n in range(24)), answers)


Cell = Callable[[float], str]


def whole(value: float) -> str:
    return "" if np.isnan(value) else f"{value:g}"


def wide(
    people: PersonaSet,
    *,
    columns: list[str] | None = None,
    cell: Cell = whole,
    separator: str = ",",
    id_column: str | None = "id",
    extra: dict[str, list[str]] | None = None,
) -> str:
    lead = [] if id_column is None else [id_column]
    lines = [[*lead, *(columns or IDS), *(extra or {})]]
    for row, name in enumerate(people.ids):
        more = [values[row % len(values)] for values in (extra or {}).values()]
        lines.append([*([name] if lead else []), *map(cell, people.agreements[row]), *more])
    return "\n".join(separator.join(line) for line in lines) + "\n"


def long(people: PersonaSet, header: str = "persona,item,agreement", cell: Cell = whole) -> str:
    rows = [
        f"{name},{item},{cell(value)}"
        for name, row in zip(people.ids, people.agreements, strict=True)
        for item, value in zip(IDS, row, strict=True)
    ]
    return "\n".join([header, *rows])


def coded(code: str) -> Cell:
    return lambda value: code if np.isnan(value) else f"{value:g}"


def label(value: float) -> str:
    return "Prefer not to say" if np.isnan(value) else LABELS[int(value)].upper()


FORMS: dict[str, Callable[[PersonaSet], str]] = {
    "semicolons": lambda p: wide(p, separator=";"),
    "tabs in a csv": lambda p: wide(p, separator="\t"),
    "bars": lambda p: wide(p, separator="|"),
    "NA": lambda p: wide(p, cell=coded("NA")),
    "a dot": lambda p: wide(p, cell=coded(".")),
    "-99": lambda p: wide(p, cell=coded("-99")),
    "999": lambda p: wide(p, cell=coded("999")),
    "9": lambda p: wide(p, cell=coded("9")),
    "0": lambda p: wide(p, cell=coded("0")),
    "prefer not to say": lambda p: wide(p, cell=coded("Prefer not to say")),
    "don’t know": lambda p: wide(p, cell=coded("Don’t know")),
    "labels": lambda p: wide(p, cell=label),
    "numbers and labels": lambda p: wide(p, cell=lambda v: "" if np.isnan(v) else f"{v:g} - {LABELS[int(v)]}"),
    "labels and numbers": lambda p: wide(p, cell=lambda v: "" if np.isnan(v) else f"{LABELS[int(v)]} ({v:g})"),
    "decimals": lambda p: wide(p, cell=lambda v: "" if np.isnan(v) else f"{v:.2f}"),
    "decimal commas": lambda p: wide(
        p, separator=";", cell=lambda v: "" if np.isnan(v) else f"{v:.1f}".replace(".", ",")
    ),
    "lower case ids": lambda p: wide(p, columns=[i.lower() for i in IDS]),
    "ids without zeros": lambda p: wide(p, columns=[f"{i[0]}_{int(i[1:])}" for i in IDS]),
    "R behind reversed items": lambda p: wide(p, columns=[i.id + "R" * (i.key < 0) for i in INVENTORY.items]),
    "a prefix": lambda p: wide(p, columns=[f"ipip_{i}" for i in IDS]),
    "LimeSurvey": lambda p: wide(p, columns=[f"G01Q02[{i}]" for i in IDS], extra={"startlanguage": ["de"]}),
    "texts": lambda p: wide(p, separator="\t", columns=[i.text for i in INVENTORY.items]),
    "a form's grid": lambda p: wide(
        p, separator="\t", columns=[f"How true is it? [{i.text}]" for i in INVENTORY.items]
    ),
    "item1, item2": lambda p: wide(p, columns=[f"item{n}" for n in range(1, 61)]),
    "Q01, Q02": lambda p: wide(p, columns=[f"Q{n:02d}" for n in range(1, 61)]),
    "1, 2": lambda p: wide(p, columns=[str(n) for n in range(1, 61)]),
    "attributes": lambda p: wide(p, extra={"age": ["31", "40"], "country": ["DE", "AT", "CH"]}),
    "another id": lambda p: wide(p, id_column="ResponseId"),
    "R's row names": lambda p: wide(p, id_column="x").removeprefix("x,"),
    "a comma at the end of lines": lambda p: wide(p).replace("\n", ",\n"),
    "a comma at the end of answers": lambda p: wide(p).replace("\n", ",\n").replace(",\n", "\n", 1),
    "quotes": lambda p: '"' + wide(p).strip().replace(",", '","').replace("\n", '"\n"') + '"',
    "a line that names the separator": lambda p: "sep=;\n" + wide(p, separator=";"),
    "a title": lambda p: "Our survey\n\n# exported" + "," * 60 + "\n" + wide(p),
    "columns item and score": lambda p: wide(p, extra={"item": ["x"], "score": ["7"]}),
    "an empty id": lambda p: wide(p, id_column=""),
    "long": long,
    "long with labels": lambda p: long(p, cell=label),
    "Item Response Warehouse": lambda p: long(p, "id,item,resp"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_people_in_every_form(tmp_path: Path, people: PersonaSet, form: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(FORMS[form](people), encoding="utf-8")
    assert read_answers(path, INVENTORY).digest == people.digest


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_the_same_people_in_every_encoding(tmp_path: Path, people: PersonaSet, encoding: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(wide(people, extra={"Größe": ["groß", "mittel"]}), encoding=encoding)
    answers = read_table(path, INVENTORY)
    assert answers.personas.digest == people.digest
    assert answers.attributes["Größe"][:2] == ("groß", "mittel")


def test_without_names_rows_are_counted_and_it_is_noted(tmp_path: Path, people: PersonaSet) -> None:
    lines: list[str] = []
    path = tmp_path / "people.tsv"
    path.write_text(wide(people, id_column=None, separator="\t"))
    personas = read_answers(path, INVENTORY, lines.append)
    assert personas.ids[:2] == ("r1", "r2")
    assert np.array_equal(personas.agreements, people.agreements, equal_nan=True)
    assert "no column of names: r1, r2, .." in lines[0]


def test_a_table_as_documented_needs_no_word(tmp_path: Path, people: PersonaSet) -> None:
    lines: list[str] = []
    (tmp_path / "people.csv").write_text(wide(people))
    read_answers(tmp_path / "people.csv", INVENTORY, lines.append)
    assert lines == []


def test_every_kind_of_guess_is_named(tmp_path: Path, people: PersonaSet) -> None:
    lines: list[str] = []
    columns = [i.id + "R" * (i.key < 0) for i in INVENTORY.items]
    text = wide(people, separator=";", columns=columns, id_column="ResponseId", cell=coded("-9"), extra={"age": ["3"]})
    (tmp_path / "people.csv").write_text(text)
    read_answers(tmp_path / "people.csv", INVENTORY, lines.append)
    said = "\n".join(lines)
    for part in (
        "semicolons",
        "'ResponseId'",
        "60 items by name",
        "'-9' (5)",
        "not read: age",
        "columns end in R (O02R",
    ):
        assert part in said


def test_what_was_understood_is_data(tmp_path: Path, people: PersonaSet) -> None:
    (tmp_path / "people.csv").write_text(wide(people, cell=coded("-9"), extra={"age": ["3"]}))
    reading = read_table(tmp_path / "people.csv", INVENTORY).reading
    assert (reading.layout, reading.id_column, reading.items, reading.attributes) == ("wide", "id", 60, ("age",))
    assert reading.missing_codes == {"-9": 5}
    meant = {column.column: (column.meaning, column.item) for column in reading.columns}
    assert (meant["id"], meant["E03"], meant["age"]) == (("id", ""), ("item", "E03"), ("attribute", ""))


# ----- what cannot be told is refused in a line with the way out


def ipip(ids: list[str]) -> Inventory:
    items = tuple(Item(name, f"Statement {name}.", "EANCO"[n % 5], "facet", 1, "fit") for n, name in enumerate(ids))
    return Inventory("ipip", items, INVENTORY.labels)


def test_the_layout_of_openpsychometrics(tmp_path: Path) -> None:
    columns = [f"{scale}{n}" for scale in ("EXT", "EST", "AGR", "CSN", "OPN") for n in range(1, 11)]
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 6, (40, 50))
    lines = ["\t".join([*columns, "dateload", "country"])]
    lines += ["\t".join([*map(str, row), "2016-03-03 02:01:01", "GB"]) for row in rows]
    (tmp_path / "data-final.csv").write_text("\n".join(lines) + "\n")
    path = str(tmp_path / "data-final.csv")
    expected = np.where(rows == 0, np.nan, rows)
    assert np.array_equal(read_answers(path, ipip(columns)).agreements, expected, equal_nan=True)
    with pytest.raises(
        InputError, match=r"no column is an item of inventory builtin.*EXT1, EXT2, \.\. EXT10"
    ) as caught:
        load_personas(path, INVENTORY)
    assert "--map FILE" in str(caught.value.hint)
    assert "--inventory" in str(caught.value.hint)


def from_zero(value: float) -> str:
    return "" if np.isnan(value) else f"{value - 1:g}"


@pytest.mark.parametrize(
    ("cell", "message", "hint"),
    [
        (from_zero, "line [0-9]+, column 'O01', item O01: .* found 0", "scale: {0: 1, .., 4: 5}"),
        (lambda v: "" if np.isnan(v) else f"{v + 2:g}", "column 'O01'.*found [67]", "3 to 7"),
        (lambda v: "" if np.isnan(v) else "ABCDE"[int(v) - 1], "found '[A-E]'", "--map FILE"),
        (lambda v: "2.5" if np.isnan(v) else f"{v:g}", "column 'O01', item O01: .*found 2.5", "filled-in"),
        (
            lambda v: "" if np.isnan(v) else f"{6 - v:g} - {LABELS[int(v)]}",
            "scores . in the inventory, the file says",
            "",
        ),
    ],
)
def test_another_scale_is_refused_with_the_way_out(
    tmp_path: Path, people: PersonaSet, cell: Cell, message: str, hint: str
) -> None:
    (tmp_path / "people.csv").write_text(wide(people, cell=cell))
    with pytest.raises(InputError, match=message) as caught:
        load_personas(str(tmp_path / "people.csv"), INVENTORY)
    assert "\n" not in str(caught.value)
    assert hint in str(caught.value.hint)


def test_a_code_that_may_be_a_score_is_none(tmp_path: Path, people: PersonaSet) -> None:
    """Half of the answers of a ten-point scale would otherwise be missing on one of seven."""
    seven = Inventory("seven", INVENTORY.items, tuple(f"label {n}" for n in range(7, 0, -1)))
    rng = np.random.default_rng(1)
    nine = PersonaSet("nine", people.ids, rng.integers(1, 10, people.agreements.shape).astype(float))
    (tmp_path / "people.csv").write_text(wide(nine))
    with pytest.raises(InputError, match=r"found [89]"):
        load_personas(str(tmp_path / "people.csv"), seven)


def test_two_columns_of_an_item_are_not_guessed_between(tmp_path: Path, people: PersonaSet) -> None:
    (tmp_path / "a.csv").write_text("id,E.01,E_01\na,1,5\n")
    with pytest.raises(InputError, match=r"columns 'E.01' and 'E_01' are both like item E01"):
        read_answers(tmp_path / "a.csv", INVENTORY)


def test_two_series_of_items_are_not_guessed_between(tmp_path: Path, people: PersonaSet) -> None:
    times = wide(people, columns=[f"time_{i}" for i in IDS]).splitlines()
    answers = wide(people, columns=[f"resp_{i}" for i in IDS], id_column=None).splitlines()
    (tmp_path / "a.csv").write_text("\n".join(",".join(pair) for pair in zip(times, answers, strict=True)))
    with pytest.raises(InputError, match="columns 'time_O01' and 'resp_O01' are both like items") as caught:
        read_answers(tmp_path / "a.csv", INVENTORY)
    assert "items: 'time_{id}'" in str(caught.value.hint)
    said = map_of({"items": "resp_{id}"}, INVENTORY)
    assert read_answers(tmp_path / "a.csv", INVENTORY, said=said).digest == people.digest


def test_exact_ids_win_over_reversed_copies(tmp_path: Path, people: PersonaSet) -> None:
    text = wide(people, extra={f"{i}R": ["1"] for i in IDS[:5]})
    (tmp_path / "people.csv").write_text(text)
    assert read_answers(tmp_path / "people.csv", INVENTORY).digest == people.digest


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for content in (bytes(range(256)) * 40, b"PK\x03\x04" + bytes(3000), b"\x89PNG" + b"a\0b" * 500, b"\x81\x8d" * 50):
        (tmp_path / "people.csv").write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_answers(tmp_path / "people.csv", INVENTORY)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", ["ResponseId", "id", "ResponseId\tuser"])
def test_a_header_without_rows_has_no_answers(tmp_path: Path, names: str) -> None:
    path = tmp_path / "people.tsv"
    path.write_text(f"{names}\tE01\tO01\n")
    with pytest.raises(InputError, match="no answers found"):
        read_table(path, INVENTORY)
