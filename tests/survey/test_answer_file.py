"""The file of answers is one that read_answers reads, after every answer and whoever else is in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import builtin_inventory, papi_inventory, read_answers, simulate
from pasctl.inventory.coding import unkeyed
from pasctl.survey.answer_file import (
    Note,
    check_name,
    check_place,
    new_file,
    note_path,
    read_file,
    read_note,
    require_same,
    write_note,
)
from tests.inventory.answer_files import as_json

INVENTORY = builtin_inventory()


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_persona_named_as_the_file_is_flat_and_a_skipped_item_is_a_missing_answer(tmp_path: Path) -> None:
    path = tmp_path / "ada.json"
    new_file(path, None).keep({"E01": 5, "E02": None})
    assert json.loads(path.read_text()) == {"E01": 5, "E02": None}
    personas = read_answers(path, INVENTORY)
    assert personas.ids == ("ada",)
    answers = dict(zip([item.id for item in INVENTORY.items], personas.agreements[0], strict=True))
    assert answers.pop("E01") == 5
    assert np.isnan(list(answers.values())).all()
    kept = read_file(path, INVENTORY, None)
    assert (kept.persona, kept.entries) == ("ada", {"E01": 5, "E02": None})


def test_several_personas_share_a_file_and_keep_their_answers(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    new_file(path, "Ada L.").keep({"E01": 5})
    read_file(path, INVENTORY, "bob").keep({"E01": 1, "E02": None})
    read_file(path, INVENTORY, "Ada L.").keep({"E01": 4})
    assert read_answers(path, INVENTORY).ids == ("Ada L.", "bob")
    assert read_file(path, INVENTORY, "bob").entries == {"E01": 1, "E02": None}
    assert read_file(path, INVENTORY, "Ada L.").entries == {"E01": 4}
    assert read_file(path, INVENTORY, "carl").entries == {}
    with pytest.raises(InputError, match=r"several personas: Ada L\., bob"):
        read_file(path, INVENTORY, None)


def test_nobody_is_asked_into_a_file_of_keyed_scores(tmp_path: Path) -> None:
    people = simulate(INVENTORY, 30).agreements
    path = Path(as_json(tmp_path, unkeyed(people, INVENTORY), INVENTORY))
    with pytest.raises(InputError, match="the answers are keyed scores"):
        read_file(path, INVENTORY, "ada")
    assert len(read_file(Path(as_json(tmp_path, people, INVENTORY)), INVENTORY, "ada").personas) == 30


def test_a_flat_file_takes_another_persona_in(tmp_path: Path) -> None:
    path = written(tmp_path / "ada.json", {"E01": 2.0})
    read_file(path, INVENTORY, "bob").keep({"E01": 5})
    assert json.loads(path.read_text()) == {"ada": {"E01": 2}, "bob": {"E01": 5}}


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    kept = new_file(tmp_path / "a.json", None)
    for agreement in range(1, 6):
        kept.keep({"E01": agreement})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    new_file(link, None).keep({"E01": 3})
    assert link.is_symlink()
    assert json.loads(real.read_text()) == {"E01": 3}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"E99": 5}, "no item 'E99'"),
        ({"E01": 7}, "whole number 1..5"),
        ({"name": "pasctl", "version": "1"}, "no item 'name'"),
        ({}, "no answers found"),
        ([{"id": "ada", "answers": {"E01": 5}}], "a list of personas"),
        (5, "an object or a list"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, document: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_file(written(tmp_path / "a.json", document), INVENTORY, None)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.json"):
        read_file(tmp_path / "none.json", INVENTORY, None)


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    for place, words in (
        ("a.csv", "json"),
        ("none/a.json", "no folder"),
        ("file/a.json", "no folder"),
        ("folder.json", "is a folder"),
    ):
        with pytest.raises(InputError, match=words):
            check_place(tmp_path / place)
    check_place(tmp_path / "new.json")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[1m"])
def test_names_fit_a_line(name: str) -> None:
    with pytest.raises(InputError, match="--name"):
        check_name(name)


def test_the_note_tells_inventories_apart_that_have_the_same_ids(tmp_path: Path, small_papi: Path) -> None:
    path = tmp_path / "a.json"
    inventory = papi_inventory(small_papi)
    note = Note(f"papi:{small_papi}", inventory.name, inventory.digest)
    write_note(path, note)
    assert read_note(path) is None, "a note of nothing"
    new_file(path, None).keep({"i1": 3})
    assert read_note(path) == note
    require_same(path, note, inventory)
    require_same(path, None, inventory)
    split = small_papi / "mpi_300_split.json"
    changed = json.loads(split.read_text())
    changed["train_index"], changed["test_index"] = changed["test_index"], changed["train_index"]
    split.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="another inventory: papi"):
        require_same(path, note, papi_inventory(small_papi))


@pytest.mark.parametrize("text", ["", "[]", "{}", '"word"', "{"])
def test_a_damaged_note_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "a.json", {"E01": 3})
    note_path(path).write_text(text)
    with pytest.raises(InputError, match=r"a\.json\.survey is no note") as caught:
        read_note(path)
    assert "\n" not in str(caught.value)
