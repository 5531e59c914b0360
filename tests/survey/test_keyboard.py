"""`pasctl survey` in a real pseudo-terminal, with real keys."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pasctl.inventory import builtin_inventory, load_inventory
from tests.inventory.instruments import write_instrument
from tests.survey.typist import Typist

ITEMS = builtin_inventory().items
LEFT, RIGHT, BACKSPACE, CTRL_C, CTRL_D, CTRL_Z = "\x1b[D", "\x1b[C", "\x7f", "\x03", "\x04", "\x1a"
NO_TERMIOS = (
    "-c",
    "import sys; sys.modules['termios'] = None; from pasctl.__main__ import main; main()",
)

Start = Callable[..., Typist]


@pytest.fixture
def start(clean_environment: dict[str, str], tmp_path: Path) -> Start:
    """Starts `pasctl survey` in a terminal."""

    def started(*arguments: object, **how: Any) -> Typist:
        return Typist(["survey", *arguments], clean_environment, tmp_path, **how)

    return started


def test_every_answer_is_on_disk_when_the_next_item_shows_and_ctrl_c_loses_none(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"

    def kept() -> dict[str, int | None]:
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found

    with start() as typist:
        typist.see("1/60", ITEMS[0].text, "q leave")
        assert not path.exists()
        typist.press("4")
        typist.see("2/60", ITEMS[1].text, "q leave")
        assert kept() == {"O01": 4}
        typist.press("s")
        typist.see("3/60", "1 skipped", ITEMS[2].text, "q leave")
        assert kept() == {"O01": 4, "O02": None}
        typist.press("x")
        typist.see("'x' is no key here. Keys: 1 to 5, b for back, s for skip, q for leave.")
        typist.press(LEFT)
        typist.see("2/60", "You skipped this one.", "Enter leave it so")
        typist.press(BACKSPACE)
        typist.see("1/60", "> 4 Moderately accurate (your answer)", "Enter leave it so")
        typist.press("2")
        typist.see("3/60", "q leave")
        assert kept() == {"O01": 2, "O02": None}
        typist.press("b")
        typist.see("2/60", "Enter leave it so")
        typist.press(RIGHT)
        typist.see("3/60", "q leave")
        typist.press("5")
        typist.see("4/60", "q leave")
        typist.press(CTRL_C)
        assert typist.end() == 130
        assert typist.modes_now() == typist.modes
        assert "interrupted" in typist.plain
        assert "Traceback" not in typist.plain
    assert kept() == {"O01": 2, "O02": None, "O03": 5}
    with start() as typist:
        typist.see("4/60", ITEMS[3].text, "q leave")
        typist.press("1q")
        assert typist.end() == 0
        assert typist.modes_now() == typist.modes
        typist.see("4 of 60 items settled in answers.json: run the same command to resume")
    assert kept() == {"O01": 2, "O02": None, "O03": 5, "O04": 1}


def test_the_last_item_can_be_corrected_and_then_the_profile_shows(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "ada.json"
    path.write_text(json.dumps({item.id: 3 for item in ITEMS[:-1]}))
    with start("-o", path.name) as typist:
        typist.see("60/60", ITEMS[-1].text, "q leave")
        typist.press("1")
        typist.see("That was the last of 60 items.", "Enter profile   b back")
        typist.press("4")
        typist.see("'4' is no key here. Keys: Enter for the profile, b for back.")
        typist.press("b")
        typist.see("60/60", "> 1 Very inaccurate (your answer)", "Enter leave it so")
        typist.press("5")
        typist.see("That was the last")
        typist.press("\r")
        assert typist.end() == 0
        typist.see("ada: 60 of 60 items answered", "Openness", "Neuroticism", "among 50 simulated respondents")
    assert json.loads(path.read_text())[ITEMS[-1].id] == 5


def test_stdout_has_the_profile_alone_while_the_terminal_has_the_items(start: Start, tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(json.dumps({item.id: 3 for item in ITEMS[:-1]}))
    with start("--json", stdout=tmp_path / "out") as typist:
        typist.see(ITEMS[-1].text, "q leave")
        typist.press("3")
        typist.see("That was the last")
        typist.press("\r")
        assert typist.end() == 0
    assert json.loads((tmp_path / "out").read_text())["items"]["answered"] == 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(start: Start, tmp_path: Path, number: int) -> None:
    with start() as typist:
        typist.see("1/60", "q leave")
        assert typist.modes_now() != typist.modes
        typist.press("3")
        typist.see("2/60", "q leave")
        os.kill(typist.pid, number)
        assert typist.end() == 128 + number
        assert typist.modes_now() == typist.modes
        assert typist.text.rfind("\x1b[?1049l") > typist.text.rfind("\x1b[?1049h") >= 0
        assert typist.text.rfind("\x1b[?25h") > typist.text.rfind("\x1b[?25l") >= 0
    assert json.loads((tmp_path / "answers.json").read_text()) == {"O01": 3}


def test_a_kill_leaves_a_whole_file(start: Start, tmp_path: Path) -> None:
    with start() as typist:
        typist.see("1/60", "q leave")
        typist.press("12345" * 4)
        typist.see("6/60")
        os.kill(typist.pid, signal.SIGKILL)
        assert typist.end() == -signal.SIGKILL
    kept = json.loads((tmp_path / "answers.json").read_text())
    assert len(kept) >= 5
    assert list(kept.values()) == ([1, 2, 3, 4, 5] * 4)[: len(kept)]


def test_ctrl_z_does_not_stop_it_and_ctrl_d_leaves(start: Start) -> None:
    with start() as typist:
        typist.see("1/60", "q leave")
        typist.press(CTRL_Z)
        typist.see("is no key here")
        typist.press(CTRL_D)
        assert typist.end() == 0


def test_a_narrow_terminal_wraps_and_another_size_is_drawn_anew(start: Start) -> None:
    with start(columns=34) as typist:
        drawn = typist.see("1/60", "are kept)")
        assert max(map(len, drawn.splitlines())) <= 34
        assert ITEMS[0].text not in drawn
        assert ITEMS[0].text in " ".join(drawn.split())
        typist.resize(90)
        typist.see("1/60", ITEMS[0].text)
        typist.press("q")
        assert typist.end() == 0
        colors = [code for code in typist.text.split("\x1b[")[1:] if "m" in code[:4] and code[0] in "349"]
        assert colors == []


def test_a_terminal_without_single_keys_takes_lines(start: Start, tmp_path: Path) -> None:
    with start(run=NO_TERMIOS) as typist:
        typist.see("no single keys in this terminal", "type a key, then Enter", "1/60", "q leave")
        typist.press("4\n")
        typist.see("2/60", "q leave")
        typist.press("q\n")
        assert typist.end() == 0
    assert json.loads((tmp_path / "answers.json").read_text()) == {"O01": 4}


def test_a_place_that_is_lost_midway_is_one_line_and_leaves_the_terminal_as_it_was(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with start("-o", "folder/answers.json") as typist:
        typist.see("1/60", "q leave")
        shutil.rmtree(folder)
        folder.touch()
        typist.press("4")
        assert typist.end() == 2
        assert typist.modes_now() == typist.modes
        typist.see("error: folder/answers.json cannot be written", "hint: ")
        assert "Traceback" not in typist.plain


def test_eleven_options_have_a_key_each_and_yes_or_no_has_two(start: Start, tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "one-trait-from-0-to-10")
    items = load_inventory(str(path)).items
    with start("--inventory", path.name, columns=100) as typist:
        shown = typist.see("1/6", items[0].text, "- 10 (always)", "0 to 9 or - answer", "q leave")
        assert "0 never" in shown
        typist.press("-")
        typist.see("2/6", items[1].text, "q leave")
        typist.press("0")
        typist.see("3/6", "q leave")
        typist.press("+")
        typist.see("'+' is no key here. Keys: 0 to 9 or -, b for back, s for skip, q for leave.")
        typist.press("b")
        typist.see("2/6", "> 0 never (your answer)", "Enter leave it so")
        typist.press("b")
        typist.see("1/6", "> - 10 (always) (your answer)", "Enter leave it so")
        typist.press("q")
        assert typist.end() == 0
    assert json.loads((tmp_path / "answers.json").read_text()) == {items[0].id: 10, items[1].id: 0}
    path = write_instrument(tmp_path, "yes-no")
    with start("--inventory", path.name, "-o", "yes.json") as typist:
        typist.see("1/18", "1 No", "2 Yes", "1 or 2 answer", "q leave")
        typist.press("3")
        typist.see("'3' is no key here. Keys: 1 or 2, b for back")
        typist.press("2")
        typist.see("2/18", "q leave")
        typist.press("q")
        assert typist.end() == 0
    assert list(json.loads((tmp_path / "yes.json").read_text()).values()) == [2]
