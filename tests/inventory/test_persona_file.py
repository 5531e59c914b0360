"""Many respondents in a Parquet file: the same personas as from anywhere else, whatever the file's row groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import (
    PersonaSet,
    builtin_inventory,
    canonical_digest,
    load_personas,
    open_personas,
    persona_table,
    read_answers,
    simulate,
    write_personas,
)
from pasctl.inventory.persona_file import HELD, PersonaFile

INVENTORY = builtin_inventory()
ITEMS = list(INVENTORY.position)
MANY = 2 * HELD + 300


def some(count: int) -> PersonaSet:
    """Simulated respondents with gaps."""
    personas = simulate(INVENTORY, count, label="many")
    values = personas.agreements.copy()
    values[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    return PersonaSet("many", personas.ids, values)


@pytest.fixture(scope="module")
def many() -> PersonaSet:
    return some(MANY)


@pytest.fixture(scope="module", params=[100, 1000, MANY], ids=lambda rows: f"groups of {rows}")
def file(request: pytest.FixtureRequest, many: PersonaSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "many.parquet"
    pq.write_table(persona_table(many, ITEMS), path, row_group_size=request.param)
    return path


def the_old_digest(personas: PersonaSet) -> str:
    """As keys in stores have it: of the whole document at once."""
    document = personas.to_json()
    del document["label"]
    return canonical_digest(document)


def test_the_digest_of_a_stream_is_the_one_that_keys_have_always_had(many: PersonaSet, file: Path) -> None:
    opened = open_personas(str(file), INVENTORY)
    assert isinstance(opened, PersonaFile)
    assert opened.digest == many.digest == the_old_digest(many)
    halves = PersonaSet("x", ("Zoë", 'a "b"'), np.array([[2.5, np.nan], [1, 5]]), "as-published")
    assert halves.digest == the_old_digest(halves)


def test_parts_are_the_rows_of_the_file(many: PersonaSet, file: Path) -> None:
    opened = open_personas(str(file), INVENTORY)
    assert (len(opened), opened.label, opened.coding, opened.n_items) == (MANY, "many", "agreement", 60)
    spans = [(0, 1), (1, 1500), (1600, 1601), (2000, MANY)]
    for span, part in zip(spans, opened.parts(spans), strict=True):
        assert part.digest == many.subset(range(*span)).digest
    assert list(opened.parts([])) == []
    whole = load_personas(str(file), INVENTORY)
    assert (whole.ids, whole.digest) == (many.ids, many.digest)


@pytest.mark.parametrize(
    ("select", "rows"),
    [
        ("0-1500", [*range(1500)]),
        ("500-2300,0-300", [*range(500, 2300), *range(300)]),
        ("0-1200|case=s2100,s0001|7", [*range(1200), 2099]),
        (",".join(f"{start}-{start + 7}" for start in range(0, MANY - 9, 9)), None),
        ("case=s2100,s0001|7", [2099, 0, 7]),
        (",".join(f"{start}-{start + 17}" for start in range(MANY - 20, 0, -20)), None),
    ],
)
def test_selections_are_those_of_any_personas(
    many: PersonaSet, file: Path, select: str, rows: list[int] | None
) -> None:
    if rows is None:
        rows = [row for word in select.split(",") for row in range(*map(int, word.split("-")))]
    found = open_personas(f"{file}:{select}", INVENTORY)
    assert found.digest == many.subset(rows).digest
    holes = np.unique(np.linspace(0, len(rows) - 1, 3).astype(int)[:2])
    assert found.without(holes).digest == many.subset(np.delete(rows, holes)).digest


def test_few_are_a_set_like_that_of_a_json_file(many: PersonaSet, tmp_path: Path) -> None:
    few = many.subset(range(5))
    write_personas(few, ITEMS, tmp_path / "few.parquet")
    rows = {
        name: {item: value for item, value in zip(ITEMS, row, strict=True) if not np.isnan(value)}
        for name, row in zip(few.ids, few.agreements.tolist(), strict=True)
    }
    (tmp_path / "few.json").write_text(json.dumps(rows))
    found = open_personas(str(tmp_path / "few.parquet"), INVENTORY)
    assert isinstance(found, PersonaSet)
    assert found.digest == read_answers(tmp_path / "few.json", INVENTORY).digest


def write(path: Path, columns: dict[str, Any], names: list[str] | None = None) -> str:
    pq.write_table(pa.table(list(map(pa.array, columns.values())), names=names or list(columns)), path)
    return str(path)


def test_names_may_be_categories(tmp_path: Path) -> None:
    spec = write(tmp_path / "x.parquet", {"id": pa.array(["b", "a"]).dictionary_encode(), "E01": [1, 2]})
    assert load_personas(spec, INVENTORY).ids == ("b", "a")


@pytest.mark.parametrize("name", ["id", "case", "persona"])
@pytest.mark.parametrize(
    "values", [pa.array([5, None], pa.int64()), [5.0, float("nan")], pa.array([5, None], pa.uint8())]
)
def test_forms_of_a_column(tmp_path: Path, name: str, values: Any) -> None:
    """Whole numbers or floats; null, NaN, a column of nulls and no column are missing; numbers are names."""
    spec = write(tmp_path / "x.parquet", {"N01": values, name: [17, 4], "E02": pa.nulls(2), "E01": [1, 2]})
    found = load_personas(spec, INVENTORY)
    assert found.ids == ("17", "4")
    known = {ITEMS[place]: found.agreements[0, place] for place in np.flatnonzero(~np.isnan(found.agreements[0]))}
    assert known == {"N01": 5, "E01": 1}
    assert np.isnan(found.agreements[1]).sum() == len(ITEMS) - 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a", "b"], "E01": [5, 6]}, "row 1, b, item E01: a whole number 1..5 is expected, found 6"),
        ({"id": ["a", "b"], "E01": [0, 5]}, "row 0, a, item E01.*found 0"),
        ({"id": ["a"], "E01": [4.5]}, "item E01.*found 4.5"),
        ({"id": ["a"], "E01": [float("inf")]}, "item E01.*found inf"),
        ({"id": ["a"], "E01": [True]}, "column E01: whole numbers are expected, found bool"),
        ({"id": ["a"], "E01": ["five"]}, "column 'E01', item E01: a whole number 1..5 .*found 'five'"),
        ({"id": ["a", None], "E01": [5, 5]}, "row 1: a name is expected in column id"),
        ({"id": [1.0], "E01": [5]}, "column id: text or whole numbers are expected, found double"),
        ({"id": ["a", "a"], "E01": [5, 5]}, "more than once: a"),
        ({"F99": [5]}, "no column is an item of inventory builtin"),
        ({"id": ["a"], "case": [1]}, "is expected, found id and case"),
        ({"id": pa.array([], pa.string()), "E01": pa.array([], pa.int8())}, "no answers found"),
    ],
)
def test_bad_files_are_told_by_row_and_column(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_personas(write(tmp_path / "x.parquet", columns), INVENTORY)
    assert "\n" not in str(caught.value)


def test_a_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column E01 occurs twice"):
        load_personas(write(tmp_path / "x.parquet", {"id": ["a"], 0: [5], 1: [4]}, ["id", "E01", "E01"]), INVENTORY)


def test_what_is_no_such_file_or_selection(many: PersonaSet, file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nobody\.parquet does not exist"):
        load_personas(str(tmp_path / "nobody.parquet"), INVENTORY)
    (tmp_path / "text.parquet").write_text("id,E01\n")
    (tmp_path / "folder.parquet").mkdir()
    content = file.read_bytes()  # pages first, then what says where they are
    (tmp_path / "torn.parquet").write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
    for name in ("text.parquet", "folder.parquet", "text.parquet/x.parquet", "torn.parquet"):
        with pytest.raises(InputError, match="not readable as Parquet") as caught:
            load_personas(str(tmp_path / name), INVENTORY)
        assert "\n" not in str(caught.value)
    for select, message in (
        ("first", "'first' is no selection"),
        (f"0-{MANY + 1}", "available"),
        ("case=s9", "no case"),
    ):
        with pytest.raises(InputError, match=message):
            load_personas(f"{file}:{select}", INVENTORY)


def test_a_name_twice_among_many_is_found_in_whatever_row_group(tmp_path: Path, many: PersonaSet) -> None:
    table = persona_table(many, ITEMS)
    ids = [*many.ids[:-1], many.ids[3]]
    pq.write_table(table.set_column(0, "id", pa.array(ids)), tmp_path / "x.parquet", row_group_size=500)
    with pytest.raises(InputError, match=f"more than once: {many.ids[3]}"):
        open_personas(str(tmp_path / "x.parquet"), INVENTORY)


def test_a_file_that_changes_after_it_was_checked_is_not_read_on(tmp_path: Path, many: PersonaSet) -> None:
    path = tmp_path / "x.parquet"
    write_personas(many, ITEMS, path)
    opened = open_personas(str(path), INVENTORY)
    write_personas(some(MANY - 1), ITEMS, path)
    with pytest.raises(InputError, match="has changed since it was checked"):
        next(iter(opened.parts([(0, 10)])))


def test_names_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    words = pa.py_buffer(b"ada\xffob")
    names = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(np.array([0, 3, 6], dtype=np.int32)), words])
    pq.write_table(pa.table([names, pa.array([1, 2])], names=["id", ITEMS[0]]), tmp_path / "people.parquet")
    with pytest.raises(InputError, match=r"people\.parquet: not readable as Parquet: .*UTF8"):
        open_personas(str(tmp_path / "people.parquet"), INVENTORY)


def test_columns_whose_names_are_no_text_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"id": ["ada"], "E01": [1], "E02": [2]}), path, compression="none")
    path.write_bytes(path.read_bytes().replace(b"E02", b"E\xff2"))
    with pytest.raises(InputError, match=r"people\.parquet: not readable as Parquet"):
        open_personas(str(path), INVENTORY)
