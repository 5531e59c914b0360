"""`pasctl survey` without a terminal: one answer a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pasctl.cli.app import app
from pasctl.inventory import builtin_inventory, read_answers
from pasctl.survey.answer_file import note_path
from tests.inventory.papi_files import answers, write_folder

INVENTORY = builtin_inventory()
FIT = [item.id for item in INVENTORY.items if item.split == "fit"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PASCTL_INVENTORY", "PASCTL_SEED", "PASCTL_CONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def survey(keys: str, *words: object) -> Result:
    """Each character is a line; `.` is an empty one."""
    lines = "".join(f"{'' if key == '.' else key}\n" for key in keys)
    return CliRunner().invoke(app, ["survey", *map(str, words)], input=lines)


def kept(name: str = "answers.json") -> dict[str, object]:
    found = json.loads(Path(name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_answers_in_lines_are_kept_and_the_same_command_goes_on() -> None:
    first = survey("45sb2", "--split", "fit")
    assert first.exit_code == 0, first.output
    assert first.stdout == ""
    assert kept() == {"O01": 4, "O02": 5, "O05": 2}
    assert "3 of 30 items settled in answers.json: run the same command to resume" in first.stderr
    second = survey("s" + "1" * 26, "--split", "fit")
    assert second.exit_code == 0, second.output
    assert second.stdout.startswith("answers: 29 of 30 items answered, 1 skipped (inventory builtin)")
    assert list(kept()) == FIT
    assert kept()["O06"] is None
    assert second.stderr.endswith("next: pasctl run --model MODEL --personas answers.json\n")
    assert read_answers("answers.json", INVENTORY).ids == ("answers",)


def test_a_finished_file_is_shown_again_and_asks_nothing() -> None:
    survey("3" * 60)
    again = survey("")
    assert again.exit_code == 0
    assert again.stdout.startswith("answers: 60 of 60 items answered (inventory builtin)")
    assert "--restart asks all again" in again.stderr
    assert survey("", "--show").stdout == again.stdout
    shown = survey("", "--show").stderr
    assert shown.startswith("not enough to steer a model by: no usable answer from answers: all 30 items are answered")
    assert shown.count("\n") == 1


def test_restart_asks_all_and_keeps_the_old_answers_until_the_first_new_one() -> None:
    survey("3" * 60)
    assert survey("q", "--restart").exit_code == 0
    assert len(kept()) == 60
    assert survey("5q", "--restart").exit_code == 0
    assert kept() == {"O01": 5}


def test_restart_of_a_split_leaves_the_other() -> None:
    survey("3" * 60)
    survey("5", "--restart", "--split", "fit")
    assert len(kept()) == 31
    assert (kept()["O01"], kept()["O03"]) == (5, 3)


def test_a_wrong_key_stays_on_the_question_and_names_the_keys() -> None:
    result = survey("7x.5", "--split", "fit")
    assert kept() == {"O01": 5}
    told = [line for line in result.stderr.splitlines() if "Keys: 1 to 5, b for back" in line]
    assert [line.split(" Keys")[0] for line in told] == [
        "'7' is no key here.",
        "'x' is no key here.",
        "This item is open.",
    ]
    assert result.stderr.count(INVENTORY.items[0].text) == 1


def test_json_on_stdout_is_the_profile_alone() -> None:
    result = survey("5" * 30, "--split", "fit", "--json", "--name", "Ada")
    found = json.loads(result.stdout)
    assert (found["persona"], found["split"]) == ("Ada", "fit")
    assert found["items"] == {"asked": 30, "answered": 30, "skipped": 0, "open": 0}
    assert found["population"]["respondents"] == 50
    # five to every item is 5 where the key is + and 1 where it is -: half of each, so 3 everywhere
    assert {row["mean"] for row in found["scores"]} == {3.0}
    assert [row["trait"] for row in found["scores"] if row["facet"] is None] == list("OCEAN")
    assert list(kept()) == ["Ada"]


def test_show_of_an_unfinished_file_has_dashes() -> None:
    survey("5", "--name", "Ada")
    result = survey("", "--show")
    assert result.stdout.startswith("Ada: 1 of 60 items answered, 59 open")
    (neuroticism,) = (line.split() for line in result.stdout.splitlines() if line.startswith("Neuroticism"))
    assert (neuroticism[1], neuroticism[3:]) == ("-", ["0/12", "-"])


def test_the_shuffled_order_is_the_seeds_and_resumes() -> None:
    survey("12", "--shuffle", "--seed", 3, "-o", "a.json")
    survey("1", "--shuffle", "--seed", 3, "-o", "b.json")
    survey("2", "--shuffle", "--seed", 3, "-o", "b.json")
    assert kept("a.json") == kept("b.json")
    survey("12", "--shuffle", "--seed", 4, "-o", "c.json")
    assert kept("c.json") != kept("a.json")


def test_papi_is_compared_with_its_respondents_and_the_file_knows_its_inventory(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", answers(60, keyed=True))
    begun = survey("5" * 20, "--inventory", "papi:data")
    assert begun.exit_code == 0, begun.output
    refused = survey("5", "--inventory", "builtin")
    assert refused.exit_code == 2
    assert "answers.json answers another inventory: papi" in refused.stderr
    result = survey("4" * 30)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("answers: 50 of 50 items answered (inventory papi)")
    assert "the 60 respondents of papi:" in " ".join(result.stdout.split())
    found = json.loads(survey("", "--show", "--json").stdout)
    assert found["population"]["respondents"] == 60
    assert found["population"]["simulated"] is False
    assert json.loads(note_path(Path("answers.json")).read_text())["inventory"] == f"papi:{folder}"


def test_without_a_note_the_ids_tell_inventories_apart(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", answers(60, keyed=True))
    survey("5", "--inventory", "papi:data")
    note_path(Path("answers.json")).unlink()
    refused = survey("5")
    assert refused.exit_code == 2
    assert "inventory builtin has no item 'i1'" in refused.stderr


@pytest.mark.parametrize(
    ("make", "words", "code", "says"),
    [
        (None, ["--show"], 3, "answers.json does not exist"),
        (None, ["-o", "answers.txt"], 2, "answers.txt"),
        (None, ["-o", "none/answers.json"], 2, "no folder none"),
        (None, ["-o", "/proc/answers.json"], 2, "/proc/answers.json"),
        (None, ["--inventory", "mmpi"], 2, "unknown inventory 'mmpi'"),
        (None, ["--inventory", "papi:none"], 3, "none does not exist"),
        (None, ["--split", "half"], 2, "'half'"),
        (None, ["--name", ""], 2, "--name"),
        (None, ["--show", "--restart"], 2, "--restart"),
        (None, ["--coding", "as-published"], 2, "as-published"),
        ('{"E99": 5}', [], 2, "no item 'E99'"),
        ('{"E99": 5}', ["--restart"], 2, "no item 'E99'"),
        ('{"E01": 9}', [], 2, "whole number 1..5"),
        ("not json", [], 2, "not readable as JSON"),
        ("\udcff", [], 2, "not readable as UTF-8"),
        ('{"ada": {"E01": 5}, "bob": {"E01": 5}}', [], 2, "several personas: ada, bob"),
        ('{"ada": {"E01": 5}}', ["--show", "--name", "bob"], 2, "no persona 'bob'"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_the_first_question(
    make: str | None, words: list[str], code: int, says: str
) -> None:
    if make is not None:
        Path("answers.json").write_bytes(make.encode("utf-8", "surrogateescape"))
    result = survey("5", *words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert says in lines[0]
    assert [line.split(" ")[0] for line in lines] in (["error:"], ["error:", "hint:"])
    if make is not None:
        assert Path("answers.json").read_bytes() == make.encode("utf-8", "surrogateescape")
