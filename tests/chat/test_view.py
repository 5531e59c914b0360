"""What is shown, and what of a model's words never reaches a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pasctl.chat.session import Turn
from pasctl.chat.view import Json, Plain, Screen, together
from pasctl.errors import InputError
from pasctl.printable import clean_lines

WILD = "\x1b[2J\x1b]0;title\x07Bell\b\r\nTab\tand 生きる\x9b1m"
TURN = Turn("Who?", "Me. 🙂", "tiny", "E+", 4.0)


def test_an_answer_comes_piece_by_piece_with_a_blank_line_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    view, seen = Plain(), list[str]()

    def pieces() -> Iterator[str]:
        for piece in ("One", " two", "\n", "three"):
            yield piece
            seen.append(capsys.readouterr().out)

    view.answer(pieces())
    assert seen == ["One", " two", "\n", "three"]
    assert capsys.readouterr().out == "\n\n"
    view.compare([("E+ at alpha 4", ["a", "b"]), ("no persona", ["c"])])
    view.note("a note")
    view.fail(InputError("wrong", hint="right"))
    found = capsys.readouterr()
    assert found.out == "[E+ at alpha 4]\nab\n\n[no persona]\nc\n\n"
    assert found.err == "a note\nerror: wrong\nhint: right\n"


def test_a_terminal_gets_text_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    view = Screen()
    view.answer([WILD])
    view.note(f"[red]{WILD}[/red]")
    told = capsys.readouterr()
    assert told.out == "Bell\nTab\tand 生きる\n\n"
    assert told.err.split() == f"[red]{clean_lines(WILD)}[/red]".split()
    assert not set(told.err) & {"\x1b", "\x07", "\b", "\x9b"}
    view.compare([("one", ["left " * 30, WILD]), ("other", ["right"])])
    out = capsys.readouterr().out
    assert not set(out) & {"\x1b", "\x07", "\b", "\t", "\x9b"}
    assert "│" in out
    monkeypatch.setenv("COLUMNS", "50")
    view.compare([("one", ["left"]), ("other", ["right"])])
    assert capsys.readouterr().out == "[one]\nleft\n\n[other]\nright\n\n"


def test_json_is_an_object_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    view = Json()
    view.answer(["Me."])
    view.turn(TURN, {"recalled": []})
    user, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert user == {"role": "user", "text": "Who?"}
    assert answer.items() >= {"role": "assistant", "text": "Me. 🙂", "persona": "E+", "recalled": []}.items()


def test_what_one_of_two_texts_raises_is_raised() -> None:
    def failing() -> Iterator[str]:
        yield "a"
        raise InputError("broken")

    found = []
    with pytest.raises(InputError, match="broken"):
        found.extend(together([failing(), []]))
    assert list(together([["a", "b"], []])) == [(0, "a"), (0, "b")]
