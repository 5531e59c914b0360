"""A session's state, and the file that it is saved to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pasctl.chat.session import Session, Turn, who_answers
from pasctl.chat.transcript import Transcripts
from pasctl.commands.target import parse_alpha
from pasctl.errors import InputError

FIRST = Turn("Who are you?", "<think>\nHm.\n</think>\n\nI am *me*. ☀", "tiny", "E+", 4.0, "directions/tiny/e", seed=3)
SECOND = Turn("Again?", "Yes.", "tiny", memory="memory/tiny/text@v1", seed=4, temperature=0.7, tokens=2, seconds=0.25)


def test_turns_come_and_go_and_each_answer_has_a_number_of_its_own() -> None:
    session = Session().said(FIRST).said(SECOND)
    assert session.turns == (FIRST, SECOND)
    assert session.last("x") == SECOND
    again = session.undone().said(SECOND)
    assert again.turns == session.turns
    assert (session.answers, again.answers) == (2, 3)
    with pytest.raises(InputError, match="nothing has been said yet, so there is nothing to take back"):
        Session().undone()


def test_a_turn_is_the_same_behind_json() -> None:
    for turn in (FIRST, SECOND):
        assert Turn.from_json(json.loads(json.dumps({**turn.to_json(), "of a later version": 1}))) == turn
    with pytest.raises(KeyError):
        Turn.from_json({"user": "x"})


@pytest.mark.parametrize("text", ["", "four", "nan", "inf", "-inf", "1e999", "4 5"])
def test_an_alpha_is_a_finite_number_or_auto(text: str) -> None:
    with pytest.raises(InputError, match="no finite number"):
        parse_alpha(text)
    assert parse_alpha("-2.5") == -2.5
    assert parse_alpha("1_0") == 10
    assert parse_alpha("auto") == "auto"


def test_a_persona_without_strength_is_nobody() -> None:
    assert who_answers("E+", 2.0) == "E+ at alpha 2"
    assert who_answers("E+", 0.0) == who_answers(None, 2.0) == "no persona"


def test_a_transcript_holds_all_that_was_said(tmp_path: Path) -> None:
    transcripts = Transcripts("demo")
    path = tmp_path / "talk.json"
    transcripts.save("Be brief.", [FIRST], path)
    transcripts.save("Be brief.", [FIRST, SECOND], path)  # its own may be replaced
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (document["model"], document["system"]) == ("demo", "Be brief.")
    assert [Turn.from_json(turn) for turn in document["turns"]] == [FIRST, SECOND]

    transcripts.save(None, [FIRST, SECOND], tmp_path / "talk.MD")
    text = (tmp_path / "talk.MD").read_text(encoding="utf-8")
    for said in (FIRST.user, FIRST.answer, "tiny (E+ at alpha 4)", "memory memory/tiny/text@v1", "seed 4"):
        assert said in text


def test_a_transcript_overwrites_nothing_that_it_did_not_write(tmp_path: Path) -> None:
    transcripts, path = Transcripts("demo"), tmp_path / "talk.json"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists and is no transcript of this session"):
        transcripts.save(None, [FIRST], path)
    assert path.read_text() == "mine"
    other = tmp_path / "other.md"
    transcripts.save(None, [FIRST], other)
    other.write_text("corrected by hand")
    with pytest.raises(InputError, match="exists and is no transcript"):
        transcripts.save(None, [FIRST, SECOND], other)
    assert other.read_text() == "corrected by hand"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other.md", "talk.json"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("talk.txt", "ends in .json or .md, found .txt"),
        ("nowhere/talk.md", "cannot be written"),
        ("a.md", "no place"),
        ("x" * 300 + ".md", "name too long"),
        ("~no-such-user/a.md", "cannot be written"),
    ],
)
def test_places_that_no_transcript_can_be_at(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "a.md").mkdir()
    with pytest.raises(InputError, match=told):
        Transcripts("demo").save(None, [FIRST], tmp_path / name)
