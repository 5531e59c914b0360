"""`pasctl chat` in a real pseudo-terminal, with real keys."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from tests.survey.typist import Typist

pytestmark = pytest.mark.integration

CHAT = ("chat", "--model", "demo", "--dtype", "float32")
LONG = "A pass key is hidden in the long text below. Find it and remember it: you will be asked for it."
IDLE = 0.5  # readline shows its prompt before it waits for keys: a signal in between is noticed with the next key
CTRL_C, UP, TAB = "\x03", "\x1b[A", "\t"


def test_in_a_terminal_it_streams_stops_completes_and_keeps_lines(
    clean_environment: dict[str, str], people_store: Path, tmp_path: Path
) -> None:
    env = clean_environment | {"XDG_STATE_HOME": str(tmp_path / "state")}
    with Typist(
        [*CHAT, "--store", people_store, "--persona", "E+", "--alpha", 1, "--max-new-tokens", 400],
        env,
        tmp_path,
        columns=100,
    ) as typist:
        typist.see("demo · E+ at alpha 1 · no memory · /help", "E+ 1 > ")
        typist.press("/persona no" + TAB + "\r")
        typist.see("/persona none", "> ")
        typist.press(f"{LONG}\r")
        typist.see(LONG, "is the pass key")  # the answer comes as it is written
        typist.press(CTRL_C)
        typist.see("stopped", "> ")
        typist.press("/sav x\r")
        typist.see("error: unknown command /sav", "hint: did you mean /save?", "> ")
        typist.press("/persona E+\r")
        typist.see("E+ 1 > ")
        typist.press("/compare I worry about things.\r")
        typist.see("[E+ at alpha 1]", "│", "[no persona]", "E+ 1 > ")
        typist.press(UP + "\r")
        typist.see("/compare I worry about things.", "[no persona]", "E+ 1 > ")
        time.sleep(IDLE)
        typist.press(CTRL_C)
        typist.see("Ctrl-C once more leaves", "> ")
        time.sleep(IDLE)
        typist.press(CTRL_C)
        assert typist.end() == 130
        assert "left the chat: nothing of it is kept" in typist.plain
        assert "same command" not in typist.plain  # which would begin another chat
        assert "Traceback" not in typist.plain
    kept = tmp_path / "state" / "pasctl" / "chat_history"
    assert kept.read_text().splitlines()[:2] == ["/persona none", LONG]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
