"""What a map says of a table is what happens, and what it cannot say is refused by its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import PersonaSet, builtin_inventory, load_personas, read_answers, resolve_personas, simulate
from pasctl.inventory.tables.table_map import NO_MAP, map_of, read_map
from tests.inventory.answer_files import FORMS, as_json

INVENTORY = builtin_inventory()
IDS = list(INVENTORY.position)
FOUR_OF_FIVE = {1: 1, 2: 2, 4: 3, 5: 4}


@pytest.fixture(scope="module")
def people() -> PersonaSet:
    answers = simulate(INVENTORY).agreements[:24].copy()
    answers[answers == 3] = 2
    return PersonaSet("people", tuple(f"r{row}" for row in range(24)), answers)


def written(folder: Path, document: Any, name: str = "map.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def recode(values: np.ndarray, scale: dict[int, int]) -> np.ndarray:
    return np.vectorize(lambda value: scale[int(value)])(values)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["scale: {1: 1, 2: 2, 3: 4, 4: 5}\n", '{"scale": {"1": 1, "2": 2, "3": 4, "4": 5}}'])
def test_another_scale_is_read_as_the_map_says(tmp_path: Path, people: PersonaSet, form: str, text: str) -> None:
    if form == "parquet":
        pytest.skip("see test_formats")
    spec = FORMS[form](tmp_path, recode(people.agreements, FOUR_OF_FIVE).astype(float), INVENTORY)
    path = written(tmp_path, text, "map.json" if text.startswith("{") else "map.yaml")
    lines: list[str] = []
    assert load_personas(spec, INVENTORY, map_file=path, note=lines.append).digest == people.digest
    assert any("1440 answers recoded as the map says" in line for line in lines)


def test_four_points_without_a_map_are_noted_with_the_map_that_reads_them(tmp_path: Path, people: PersonaSet) -> None:
    lines: list[str] = []
    load_personas(as_json(tmp_path, recode(people.agreements, FOUR_OF_FIVE), INVENTORY), INVENTORY, note=lines.append)
    assert any(
        "nobody of 24 chose 5" in line and "--map FILE, scale: {1: 1, 2: 2, 3: 4, 4: 5}" in line for line in lines
    )


def test_keyed_scores_by_the_map(tmp_path: Path, people: PersonaSet) -> None:
    spec = as_json(tmp_path, INVENTORY.keyed(people.agreements), INVENTORY)
    with pytest.raises(InputError, match="the answers are keyed scores"):
        load_personas(spec, INVENTORY)
    keyed = written(tmp_path, {"keyed": True})
    assert load_personas(spec, INVENTORY, map_file=keyed).digest == people.digest
    assert resolve_personas(spec, INVENTORY, coding="keyed", map_file=keyed).digest == people.digest
    with pytest.raises(InputError, match="the map says keyed: true, --coding says agreement"):
        load_personas(spec, INVENTORY, coding="agreement", map_file=keyed)


@pytest.mark.parametrize(
    "items",
    [
        {item: f"v{7 * n % 61}" for n, item in enumerate(IDS, 1)},
        [f"v{7 * n % 61}" for n in range(1, 61)],
    ],
)
def test_items_by_the_map(tmp_path: Path, people: PersonaSet, items: Any) -> None:
    """Columns whose numbers are another order than the items': by order they would be read wrong."""
    header = ["who", *(f"v{7 * n % 61}" for n in range(1, 61))]
    rows = [[name, *map(str, row.astype(int))] for name, row in zip(people.ids, people.agreements, strict=True)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]))
    said = map_of({"id": "who", "items": items}, INVENTORY)
    assert read_answers(path, INVENTORY, said=said).digest == people.digest


@pytest.mark.parametrize("pattern", ["bfi {id}!", "frage{n}x"])
def test_items_by_a_pattern(tmp_path: Path, people: PersonaSet, pattern: str) -> None:
    names = [pattern.replace("{id}", item).replace("{n}", str(n)) for n, item in enumerate(IDS, 1)]
    rows = [[name, *map(str, row.astype(int))] for name, row in zip(people.ids, people.agreements, strict=True)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(",".join(row) for row in [["id", *names], *rows]))
    assert read_answers(path, INVENTORY, said=map_of({"items": pattern}, INVENTORY)).digest == people.digest


def test_a_long_table_by_the_map(tmp_path: Path, people: PersonaSet) -> None:
    rows = [
        f"{name},F-{item},{value:g}"
        for name, row in zip(people.ids, people.agreements, strict=True)
        for item, value in zip(IDS, row, strict=True)
    ]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["wer,frage,wert", *rows, "r0,other,77"]))
    said = map_of({"layout": "long", "id": "wer", "item": "frage", "answer": "wert", "items": "F-{id}"}, INVENTORY)
    assert read_answers(path, INVENTORY, said=said).digest == people.digest


def test_reversed_columns_and_missing_codes_by_the_map(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,E01,E02,E03\na,1,5,7\nb,3,-5,2\n")
    said = map_of({"reversed": ["E01", "E02"], "missing": [7, "-5"]}, INVENTORY)
    answers = read_answers(path, INVENTORY, said=said).agreements[
        :, [INVENTORY.position[i] for i in ("E01", "E02", "E03")]
    ]
    assert np.array_equal(answers, [[5, 1, np.nan], [3, np.nan, 2]], equal_nan=True)


def test_fixed_columns(tmp_path: Path, people: PersonaSet) -> None:
    """As the files of Johnson's IPIP-NEO are laid out: no header, no separators, a character an answer."""
    lines = [
        f"{name:<6}M 31" + "".join(map(str, row.astype(int)))
        for name, row in zip(people.ids, people.agreements, strict=True)
    ]
    (tmp_path / "ipip.dat").write_text("\n".join(lines))
    said = map_of({"id": "case", "fixed": {"case": "1-6", "sex": 7, "age": "8-10", "item{n}": "11-70"}}, INVENTORY)
    assert read_answers(tmp_path / "ipip.dat", INVENTORY, said=said).digest == people.digest
    (tmp_path / "ipip.dat").write_text("\n".join([*lines, "short"]))
    with pytest.raises(InputError, match="line 25: 70 characters are expected, found 5"):
        read_answers(tmp_path / "ipip.dat", INVENTORY, said=said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("itmes: {E01: q1}", "key 'itmes' is unknown"),
        ("items: {X1: q1}", "has no item 'X1'"),
        ("items: [q1, q2]", "60 columns are expected"),
        ("items: q", "a pattern with {id} or {n} is expected"),
        ("scale: {1: x}", "a score is expected for '1', found 'x'"),
        ("scale: [1]", "value: score is expected"),
        ("layout: tall", "one of wide, long is expected"),
        ("keyed: maybe", "one of True, False is expected"),
        ("fixed: {id: 6-1}", "column: characters is expected"),
        ("- a", "a mapping is expected"),
        ("a: [", "not readable as YAML"),
        ("!!python/object/apply:os.system [true]", "a mapping is expected"),
    ],
)
def test_a_map_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_map(written(tmp_path, text, "map.yaml"), INVENTORY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"id": "who"}, "the map names column 'who', which is not there"),
        ({"items": {"E01": "q9"}}, "the map's items name 'q9', which is not there"),
        ({"items": {"E01": "q1", "E02": "q1"}}, "the map names 'q1' for items E01 and E02"),
        ({"items": "z{n}"}, "is like no column, expected such as 'z1'"),
        ({"items": {"E01": "q1"}, "scale": {1: 7}}, "a score 1..5 is expected for 1, found 7"),
        ({"items": {"E01": "q1"}, "scale": {1: 1}}, r"a value of the map's scale \(1\) is expected, found 5"),
    ],
)
def test_a_map_that_does_not_fit_its_table(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    (tmp_path / "people.csv").write_text("id,q1,q2\na,1,5\nb,5,1\n")
    with pytest.raises(InputError, match=message):
        read_answers(tmp_path / "people.csv", INVENTORY, said=map_of(said, INVENTORY))


def test_a_map_is_of_a_file(tmp_path: Path, people: PersonaSet) -> None:
    with pytest.raises(MissingError, match=r"map .*nothing\.yaml does not exist"):
        load_personas(as_json(tmp_path, people.agreements, INVENTORY), INVENTORY, map_file=tmp_path / "nothing.yaml")
    for spec in ("E+", "builtin"):
        with pytest.raises(InputError, match="--map is about a file of answers"):
            load_personas(spec, INVENTORY, map_file=NO_MAP)


LAUGHS = "".join(f"  - &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"item:\n  - &a0 [x, x]\n{LAUGHS}", "anchors and aliases"),
        ("id: a\nid: b\n", "field 'id' occurs twice"),
        ('fixed: {"q{n}": 1-999999999}\n', "at most 100,000 columns"),
        (f"fixed: {{a: {'9' * 5000}}}\n", "characters such as 7 or 1-6"),
        (f"header_rows: {'9' * 5000}\n", "header_rows: one of"),
        ("encoding: rot13\n", "encoding: 'rot13' is unknown"),
        ("encoding: base64\n", "encoding: 'base64' is unknown"),
        ("separator: ';;'\n", "separator: one character is expected"),
    ],
)
def test_a_map_that_would_take_all_memory_or_that_no_reader_takes_is_one_line(
    tmp_path: Path, people: PersonaSet, text: str, told: str
) -> None:
    spec = FORMS["wide tsv"](tmp_path, people.agreements, INVENTORY)
    with pytest.raises(InputError, match=told):
        load_personas(spec, INVENTORY, map_file=written(tmp_path, text, "map.yaml"))


def test_null_is_nothing_at_the_top_and_a_word_of_the_table_below(tmp_path: Path) -> None:
    said = read_map(written(tmp_path, "id: null\nmissing: [null, -9]\nkeyed: true\n", "map.yaml"), INVENTORY)
    assert (said.id, said.missing, said.keyed) == ("", frozenset({"null", "-9"}), True)
