"""`pasctl data new` and `pasctl data check` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pasctl.cli.app import app
from tests.inventory.instruments import write_instrument


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("suffix", ["yaml", "json", "csv"])
def test_a_new_file_checks_as_it_is(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"river.{suffix}"
    made = invoke("data", "new", path)
    assert made.exit_code == 0, made.output
    assert made.stdout == f"{path}\n"
    assert f"pasctl data check {path}" in made.stderr
    before = path.read_bytes()
    again = invoke("data", "new", path)
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert path.read_bytes() == before
    checked = invoke("data", "check", path)
    assert checked.exit_code == 0, checked.output
    assert f"--inventory {path}" in checked.stderr
    assert "--personas Dri+" in checked.stderr
    assert "trait         Dri Drift" in checked.stdout


def test_a_new_file_needs_a_suffix_and_a_folder(tmp_path: Path) -> None:
    for name, words in (("river.xlsx", ".csv"), ("river", ".yaml"), ("none/river.yaml", "make it first")):
        refused = invoke("data", "new", tmp_path / name)
        assert refused.exit_code == 2
        assert words in refused.stderr
        assert refused.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_check_shows_scale_traits_and_the_prompt(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "german")
    lines = invoke("data", "check", path).stdout.splitlines()
    assert "respondents   none: --personas FILE names some" in lines
    assert any(line.startswith("scale         5 points: 1 trifft nicht zu | 2") for line in lines)
    assert "    A. trifft zu" in lines
    assert "    Aussage: Ich habe Freude daran, im Garten zu graben." in lines
    assert not any("Statement" in line for line in lines)
    report = json.loads(invoke("data", "check", path, "--json").stdout)
    assert report["language"] == "de"
    assert report["traits"][0]["high"] == ["gartenfreudig"]
    assert report["option_names"] == list("ABCDE")


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("scale: [No, Yes]\nitem: []\n", encoding="utf-8")
    refused = invoke("data", "check", path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[0].endswith(
        "bad.yaml, line 2, column 1: unknown field 'item' of an inventory file"
    )
    assert "did you mean items?" in refused.stderr
    assert invoke("data", "check", tmp_path / "gone.yaml").exit_code == 3
