from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import (
    PersonaSet,
    builtin_inventory,
    read_answers,
    require_on_scale,
    require_usable,
    signs,
    trait_poles,
)
from pasctl.inventory.answers import label_of

INVENTORY = builtin_inventory()


def persona_set(rows: list[list[float]], **fields: object) -> PersonaSet:
    ids = tuple(f"p{n}" for n in range(len(rows)))
    return PersonaSet(**({"label": "test", "ids": ids, "agreements": np.array(rows)} | fields))  # type: ignore[arg-type]


def test_signs_of_every_answer() -> None:
    got = signs(np.array([[1.0, 2, 3, 4, 5, np.nan]]), np.full(6, 3.0))
    assert got.dtype == np.int8
    assert got.tolist() == [[-1, -1, 0, 1, 1, 0]]


def test_json_round_trip_keeps_missing_answers_and_digest() -> None:
    personas = persona_set([[1, np.nan, 2.5], [5, 3, 4]], coding="as-published")
    again = PersonaSet.from_json(json.loads(json.dumps(personas.to_json(), allow_nan=False)))
    assert np.array_equal(again.agreements, personas.agreements, equal_nan=True)
    assert (again.label, again.ids, again.coding, again.digest) == (
        personas.label,
        personas.ids,
        personas.coding,
        personas.digest,
    )


def test_digest_follows_the_content_and_not_the_label() -> None:
    base = persona_set([[1, 2], [4, 5]])
    assert persona_set([[1, 2], [4, 5]], label="other").digest == base.digest
    others = [
        persona_set([[1, 2], [4, np.nan]]),
        persona_set([[1, 2], [4, 5]], ids=("p0", "q")),
        persona_set([[1, 2], [4, 5]], coding="as-published"),
    ]
    assert len({p.digest for p in [base, *others]}) == 4


def test_subset_takes_rows_in_the_asked_order() -> None:
    base = persona_set([[1, 2], [3, 4], [5, 1]])
    part = base.subset([2, 0])
    assert part.ids == ("p2", "p0")
    assert part.agreements.tolist() == [[5, 1], [1, 2]]


def test_agreements_cannot_be_changed_behind_the_digest() -> None:
    source = np.array([[1.0, 2.0]])
    personas = persona_set([[1, 2]], agreements=source)
    source[0, 0] = 5
    assert personas.agreements[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        personas.agreements[0, 0] = 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"agreements": np.array([[np.inf, 1.0]])}, "p0.*finite, found inf"),
        ({"agreements": np.array([1.0, 2.0])}, "one id a row"),
        ({"ids": ("a", "b")}, "one id a row"),
        ({"label": "Upper"}, "Upper"),
        ({"label": ""}, "label"),
        ({"coding": "raw"}, "raw"),
    ],
)
def test_persona_set_refuses(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        persona_set([[1, 2]], **fields)


def test_persona_names_are_unique() -> None:
    with pytest.raises(InputError, match="more than once: a"):
        persona_set([[1], [2]], ids=("a", "a"))


def test_pole_agrees_with_plus_items_and_leaves_other_traits_out() -> None:
    personas = trait_poles("E+,n-", INVENTORY)
    assert personas.ids == ("E+", "N-")
    assert personas.label == "e+-n-"
    for row, (trait, sign) in zip(personas.agreements, [("E", "+"), ("N", "-")], strict=True):
        for item, value in zip(INVENTORY.items, row, strict=True):
            if item.trait != trait:
                assert np.isnan(value)
            else:
                assert value == (5 if (item.key > 0) == (sign == "+") else 1)


def test_opposite_poles_are_mirror_images() -> None:
    for trait in "OCEAN":
        plus, minus = trait_poles(f"{trait}+", INVENTORY), trait_poles(f"{trait}-", INVENTORY)
        assert np.array_equal(6 - plus.agreements, minus.agreements, equal_nan=True)


@pytest.mark.parametrize("value", [0.0, 5.5])
def test_an_answer_beyond_its_scale_is_named(value: float) -> None:
    answers = np.full((2, len(INVENTORY)), np.nan)
    answers[1, 2] = value
    with pytest.raises(InputError, match=rf"p1, item {INVENTORY.items[2].id}: agreements are 1\.\.5, found {value:g}"):
        require_on_scale(persona_set(answers.tolist()), INVENTORY)


def test_require_usable_names_only_who_has_no_opinion() -> None:
    columns = np.array([0, 1])
    personas = persona_set([[1, 3, 3], [3, np.nan, 5], [3, 3, 3]])
    with pytest.raises(InputError, match=r"from p1, p2:"):
        require_usable(personas, columns, INVENTORY)
    require_usable(personas.subset([0]), columns, INVENTORY)
    require_usable(personas.subset([0, 1]), np.array([0, 2]), INVENTORY)


# ----- answers from files


@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        ("ada.json", '{"E01": 5, "E02": null, "N01": 2}', ["ada"]),
        ("x.json", '{"ada": {"E01": 5, "N01": 2}, "bob": {"E01": 1}}', ["ada", "bob"]),
        ("x.json", '[{"id": "ada", "answers": {"E01": 5, "N01": 2.0}}]', ["ada"]),
        ("ada.csv", "item id,agreement\nE01,5\nE02,\n\nN01,2\n", ["ada"]),
        ("x.csv", "\ufeffPersona,Item,Agreement\nada,E01,5\nbob,E01,1\nada,N01,2\n", ["ada", "bob"]),
        ("x.csv", "id,item,agreement\nada,E01,5\nbob,E01,1\nada,N01,2.0\nada,E02,NA\n", ["ada", "bob"]),
        ("x.csv", 'case,"item id",agreement\n"ada",E01,5\nada,N01,2\nbob,E01,n/a\n', ["ada", "bob"]),
        ("x.tsv", "persona\titem\tagreement\nada\tE01\t5\nada\tN01\t2\n", ["ada"]),
        ("x.csv", "id,E01,E02,N01\nada,5,,2\nbob,NA,nan,null\n", ["ada", "bob"]),
        ("x.tsv", "E01\tcase\tN01\n5\tada\t2\n", ["ada"]),
    ],
)
def test_all_forms_of_answers_say_the_same(tmp_path: Path, name: str, text: str, ids: list[str]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    personas = read_answers(path, INVENTORY)
    assert list(personas.ids) == ids
    row = personas.agreements[0]
    given = {INVENTORY.items[c].id: row[c] for c in np.flatnonzero(~np.isnan(row))}
    assert given == {"E01": 5, "N01": 2}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"E01": 6}', "E01.*found 6"),
        ("a.json", '{"E01": 0}', "E01.*found 0"),
        ("a.json", '{"E01": 4.5}', "E01.*4.5"),
        ("a.json", '{"E01": true}', "E01.*True"),
        ("a.json", '{"E01": "5"}', "E01.*'5'"),
        ("a.json", '{"E01": NaN}', "E01.*nan"),
        ("a.json", '{"E01": [5]}', "E01"),
        ("a.json", '{"E01": 9}', "E01.*found 9"),
        ("a.json", '{"E01": 99}', "E01.*found 99"),
        ("a.json", '{"E01": -1}', "E01.*found -1"),
        ("a.json", '{"E01": 3.5}', "E01.*found 3.5"),
        ("a.json", '{"E01": "NA"}', "E01.*found 'NA'"),
        ("a.json", '{"": {"E01": 5}, "b": {"E01": 5}}', "every persona needs a name"),
        ("a.json", '[{"id": null, "answers": {"E01": 5}}]', "an id is text or a whole number, found None"),
        ("a.json", '[{"id": 1, "answers": {"E01": 5}}, {"id": "1", "answers": {"E01": 5}}]', "1 occurs twice"),
        ("a.json", '{"E01": 5, "E01": 4}', "E01' occurs twice"),
        ("a.json", '{"ada": {"E01": 5}, "E02": 4}', "mixed"),
        ("a.json", "{}", "no answers"),
        ("a.json", '"E01"', "object or a list"),
        ("a.json", '{"E01": 5', "JSON"),
        ("a.json", '[{"id": "ada"}]', "id and answers"),
        ("a.json", '[{"id": "a", "answers": {"E01": 5}}, {"id": "a", "answers": {"E02": 5}}]', "a occurs twice"),
        ("a.csv", "E01,5\nE02,4\n", "names of columns are expected, found E01, 5"),
        ("a.csv", "item,agreement\nE01,five\n", "E01.*'five'"),
        ("a.csv", "item,agreement\nE01,5\nE01,5\n", "E01 twice"),
        ("a.csv", "item,agreement\nE01\n", "line 2"),
        ("a.csv", "item,agreement\nE01,9\n", "E01.*found 9"),
        ("a.csv", "item,agreement\nE01,0\n", "E01.*found 0"),
        ("a.csv", "item,agreement\nE01,-1\n", "E01.*found -1"),
        ("a.csv", "item,agreement\nE01,3.5\n", "E01.*found 3.5"),
        ("a.csv", "item,agreement\nE01,true\n", "E01.*'true'"),
        ("a.csv", "item,agreement,Agreement\nE01,5,4\n", "column 'agreement' occurs twice"),
        ("a.csv", "id,E01,E01\nada,5,4\n", "column 'E01' occurs twice"),
        ("a.csv", "persona,item,agreement\nada,E01,5\n,E02,4\n", "line 3: a name is expected in column persona"),
        ("a.csv", "persona,case,item,agreement\nada,1,E01,5\n", "one column id, case or persona.*persona and case"),
        ("a.csv", "id,E01\nada,5\nada,4\n", "line 3: respondent ada occurs twice"),
        ("a.csv", "id,E01\n,5\n", "line 2: a name is expected in column id"),
        ("a.csv", "id,E.02,E_02\nada,5,5\n", "columns 'E.02' and 'E_02' are both like item E02"),
        ("a.csv", "id,case,E01\nada,1,5\n", "one column id, case or persona is expected, found id and case"),
        ("a.csv", "id,E01\nada,99\n", "line 2, column 'E01', item E01.*found 99"),
        (
            "a.tsv",
            "EXT1\tEXT2\tEXT3\tEXT4\tEXT5\tEXT6\n1\t2\t3\t4\t5\t1\n",
            "no column is an item of inventory builtin.*EXT1, EXT2, .. EXT6",
        ),
        ("a.csv", "", "no answers"),
        ("a.csv", "item,agreement\n", "no answers"),
    ],
)
def test_bad_answers_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_answers(tmp_path / name, INVENTORY)
    assert "\n" not in str(caught.value)


def test_a_missing_code_says_how_to_write_a_missing_answer(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"E01": 99}')
    with pytest.raises(InputError) as caught:
        read_answers(tmp_path / "a.json", INVENTORY)
    assert "null in JSON, and an empty field or NA in a table" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("a.tsv", "EXT1\tEXT2\n1\t2\n", "which column is which item with --map FILE, items: {O01: EXT2"),
        ("a.csv", "surname,item,agreement\nada,E01,5\nbob,E01,4\n", "name the respondents in a column persona"),
    ],
)
def test_a_table_of_another_form_names_the_way_out(tmp_path: Path, name: str, text: str, hint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_answers(tmp_path / name, INVENTORY)
    assert hint in str(caught.value.hint)


def test_columns_that_are_not_read_are_noted_and_that_one_persona_is_left(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "a.csv").write_text("surname,item,agreement\nada,E01,5\nbob,E02,4\n")
    assert read_answers(tmp_path / "a.csv", INVENTORY, lines.append).ids == ("a",)
    assert [line.split(": ", 1)[1] for line in lines] == [
        "no column persona, case or id, so all answers are those of one persona; columns that are not read: surname"
    ]


def test_unknown_item_suggests_a_near_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"e01": 5}')
    with pytest.raises(InputError, match="no item 'e01'") as caught:
        read_answers(path, INVENTORY)
    assert caught.value.hint is not None
    assert "E01" in caught.value.hint


def test_answers_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nobody\.json"):
        read_answers(tmp_path / "nobody.json", INVENTORY)
    (tmp_path / "latin.json").write_bytes(b'{"\xe9": 5}')
    with pytest.raises(InputError, match="UTF-8"):
        read_answers(tmp_path / "latin.json", INVENTORY)


def test_a_persona_with_threes_only_loads(tmp_path: Path) -> None:
    path = tmp_path / "even.json"
    path.write_text('{"E01": 3}')
    personas = read_answers(path, INVENTORY)
    with pytest.raises(InputError, match="even"):
        require_usable(personas, INVENTORY.indices("fit"), INVENTORY)


@pytest.mark.parametrize(
    ("stem", "label"),
    [("My Answers (2)", "my-answers-2"), ("ada_lovelace", "ada_lovelace"), ("Ã©", "answers"), ("_x", "x")],
)
def test_labels_from_file_names(stem: str, label: str) -> None:
    assert label_of(Path(f"{stem}.json")) == label
