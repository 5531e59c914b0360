"""`pasctl say` on the command line: texts in columns or one below the other, findings, JSON lines, a page."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import pasctl
from pasctl.cli import say as presenter
from pasctl.cli.app import app
from pasctl.store import Store
from tests.conftest import PasctlRun

PROMPT = "Tell me about your weekend."
TITLES = ["as it is", "E+ at alpha 2", "E+ at alpha -2", "prompted: E+"]
MANY = [f"What do you do on day {place}?" for place in range(10)]


@pytest.fixture(scope="module")
def store(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("say")
    pasctl.extract(str(tiny_folder), contrast="big5", dtype="float32", store=store)
    pasctl.fit_directions(store=store)
    return store


@pytest.fixture
def words(tiny_folder: Path, store: Path) -> list[str]:
    common = ["say", "--model", tiny_folder, "--store", store, "--dtype", "float32", "--alpha", "2"]
    common += ["--max-new-tokens", "5", "--judge-embeddings", "none"]
    return [str(word) for word in common]


def invoke(words: list[str]) -> Result:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result


def rows_of(store: Path) -> list[dict[str, Any]]:
    """Of the texts that were made last."""
    latest = next(iter(Store(store).candidates("texts")))
    rows: list[dict[str, Any]] = latest.read_table("texts.parquet").to_pylist()
    return rows


def test_texts_stand_one_below_the_other_where_there_is_no_terminal(words: list[str], store: Path) -> None:
    first = invoke([*words, "--persona", "E+", PROMPT]).stdout
    places = [first.index(f"[{title}]\n") for title in TITLES]
    assert places == sorted(places)
    assert first.startswith(f"> {PROMPT}\n")
    for row in rows_of(store):
        assert "".join(letter for letter in row["text"] if letter.isprintable()) in first
    assert "no verdict on 1 prompt" in first
    again = invoke([*words, "--persona", "E+", PROMPT]).stdout
    assert "already in the store" in again
    assert again[: places[-1]] == first[: places[-1]]


def test_json_has_a_line_per_text_and_finding(words: list[str], store: Path) -> None:
    lines = [json.loads(line) for line in invoke([*words, "--persona", "N+", "--json", *MANY[:2]]).stdout.splitlines()]
    assert [line["type"] for line in lines] == ["text"] * 8 + ["finding", "outcome"]
    assert {line["condition"] for line in lines[:8]} == {"as-is", "steered-up", "steered-down", "prompted"}
    assert lines[-1]["name"].startswith("texts/tiny-a/")


def test_many_prompts_have_a_table_and_verdicts(words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(MANY))
    page = tmp_path / "page.html"
    out = invoke([*words, "--persona", "E+,A-", "--prompts", str(file), "--report", str(page)]).stdout
    assert "The texts of 7 more prompts are in texts/tiny-a/" in out
    table = out[out.index("persona  alpha") :].splitlines()
    assert [row.split()[:2] for row in table[1:3]] == [["E+", "2"], ["A-", "2"]]
    assert sum("E+ and E- texts" in line or "A- and A+ texts" in line for line in table) >= 2
    assert "Before and after" in page.read_text()


def test_one_persona_of_a_contrast_of_ones_own(words: list[str]) -> None:
    out = invoke([*words, "--contrast", "speaks like a lawyer|speaks like a salesman", PROMPT]).stdout
    assert "[+ at alpha 2]" in out


class Wide(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "side_by_side"), [(170, True), (60, False)])
def test_a_wide_terminal_shows_columns_while_texts_are_written(
    columns: int, side_by_side: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Wide()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((columns, 40)))
    live = presenter._Live()
    for title in TITLES:
        live(title, "")
    for place in range(4):
        for title in TITLES:
            live(title, f"word{place} ")
    live.finish()
    assert live.used == side_by_side
    shown = [line.split("\r")[-1] for line in out.getvalue().split("\n")]
    if side_by_side:
        assert [cell.strip() for cell in shown[0].split("│")] == [f"[{title}]" for title in TITLES]
        assert [cell.strip() for cell in shown[1].split("│")] == ["word0 word1 word2 word3"] * 4
    else:
        assert out.getvalue() == ""


def test_a_text_cannot_move_the_cursor() -> None:
    assert presenter._safe("a\x1b[2Jb\tc\nd\r") == "ab    c\nd"


@pytest.mark.integration
def test_it_is_a_command_of_its_own(run_pasctl: PasctlRun, words: list[str]) -> None:
    done = run_pasctl(*words, "--persona", "E+", PROMPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"> {PROMPT}\n[as it is]\n")
    assert "Traceback" not in done.stderr
    dry = run_pasctl(*words, "--persona", "C+", "--dry-run", "--json", PROMPT)
    assert json.loads(dry.stdout)["plan"]["texts"] == 4
