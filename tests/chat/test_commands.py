"""What lines mean."""

from __future__ import annotations

from typing import NoReturn

import pytest

from pasctl.chat.commands import COMMANDS, Line, completions, help_text, parse
from pasctl.errors import InputError


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("hello there\n", Line("hello there")),
        ("  \n", None),
        ("//etc/passwd is a file", Line("/etc/passwd is a file")),
        ("/alpha 4", Line("4", "alpha")),
        ("/alpha", Line("", "alpha")),
        ("/save  my talk.json \r\n", Line("my talk.json", "save")),
        ("/compare What is /help?", Line("What is /help?", "compare")),
        ("one\ntwo", Line("one\ntwo")),
        ("/system one\ntwo", Line("one\ntwo", "system")),
    ],
)
def test_a_line_is_words_or_a_command(line: str, meant: Line | None) -> None:
    assert parse(line) == meant


@pytest.mark.parametrize(
    ("line", "told", "hint"),
    [
        ("/presona E+", "unknown command /presona", "did you mean /persona?"),
        ("/", "unknown command /", "/help lists them"),
        ("/xyzzy", "unknown command /xyzzy", "/help lists them"),
        ("/Save x.md", "unknown command /Save", "did you mean /save?"),
        ("/save", "/save takes one argument, expected /save FILE", None),
        ("/undo twice", "/undo takes no argument, found 'twice' behind it", None),
    ],
)
def test_what_is_no_command_is_one_line(line: str, told: str, hint: str | None) -> None:
    with pytest.raises(InputError) as refused:
        parse(line)
    assert refused.value.message == told
    assert (refused.value.hint or "").startswith(hint or "")


def test_help_tells_all_commands() -> None:
    lines = help_text().splitlines()
    assert [line.split()[0] for line in lines] == [*(f"/{name}" for name in COMMANDS), "//TEXT"]
    assert max(map(len, lines)) <= 100


def test_completion_gives_whole_lines_and_asks_for_personas_only_when_it_must() -> None:
    def unasked() -> NoReturn:
        raise AssertionError("personas were asked for")

    assert completions("/per", unasked) == ["/persona "]
    assert completions("/un", unasked) == ["/undo"]
    assert completions("/s", unasked) == ["/system ", "/save "]
    assert completions("per", unasked) == completions("//per", unasked) == completions("/save x", unasked) == []
    assert completions("/persona E", lambda: ("E+", "E-", "N+")) == ["/persona E+", "/persona E-"]
    assert completions("/persona n", lambda: ("E+",)) == ["/persona none"]
    assert completions("/memory n", unasked) == ["/memory none"]
