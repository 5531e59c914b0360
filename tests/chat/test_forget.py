"""A turn of a conversation is forgotten, and the conversation goes on without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pasctl.chat.conversations import TURNS
from pasctl.chat.persistent import PersistentConversation
from pasctl.chat.session import Turn
from pasctl.commands.memory_forget import Forgotten
from pasctl.errors import BusyError, InputError
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_forget import memory_forget
from pasctl.stages.memory_show import memory_show
from pasctl.store import Store
from tests.chat.test_persistent import SMALL, hold, turn

Remember = Callable[..., PersistentConversation]
SECRET = "Xylophones are in the cellar"  # noqa: S105 - no password


def quoting(store: Path, *needles: bytes) -> list[str]:
    return [str(p) for p in store.rglob("*") if p.is_file() and any(n in p.read_bytes() for n in needles)]


@pytest.mark.parametrize("how", [{"turn": 3}, {"match": SECRET}])
def test_a_turn_is_gone_from_all_versions_and_the_conversation_goes_on(
    remember: Remember, tmp_path: Path, how: dict[str, object]
) -> None:
    talk = hold(remember(tmp_path, params=SMALL), 0, 2)
    first = talk.keep()
    talk.add(Turn(f"{SECRET}, and the moon is pale.", f"So {SECRET}.", "demo"))
    hold(talk, 3, 5)
    second = talk.keep()
    assert first is not None
    assert second is not None
    memory_ask(second, [f"Is it so that {SECRET}?"], store=tmp_path)
    assert len(quoting(tmp_path, SECRET.encode())) >= 2
    done = memory_forget("memory/demo/talk", Forgotten(**how), everywhere=True, store=tmp_path)  # type: ignore[arg-type]
    assert list(done["replaced"]) == [second.name]
    assert quoting(tmp_path, SECRET.encode()) == []
    assert [problem for problem in Store(tmp_path).verify(deep=True) if not problem.note] == []
    new = Store(tmp_path).resolve("memory/demo/talk")
    users = [each["user"] for each in new.read_json(TURNS)]
    assert [user for user in users if "moon" not in user] == [turn(n).user for n in (0, 1, 3, 4)]
    shown = memory_show(new, store=tmp_path)
    assert shown["events"]
    again = hold(remember(tmp_path, params=SMALL), 5, 7)
    assert again.keep() is not None
    assert SECRET not in again.memory.model.tokenizer.decode(again.memory.reader.ids)
    assert again.turns[-1] == turn(6)


def test_a_session_that_goes_on_and_events_of_a_conversation_are_refused(remember: Remember, tmp_path: Path) -> None:
    talk = hold(remember(tmp_path, params=SMALL), 0, 3)
    assert talk.keep() is not None
    for wrong in (Forgotten(turn=4), Forgotten(event=0)):
        with pytest.raises(InputError, match="turns"):
            memory_forget("memory/demo/talk", wrong, store=tmp_path)
    hold(talk, 3, 4)
    with pytest.raises(BusyError, match="goes on, or was killed"):
        memory_forget("memory/demo/talk", Forgotten(turn=1), store=tmp_path)


def test_answers_from_a_conversation_name_its_turns(remember: Remember, tmp_path: Path) -> None:
    talk = hold(remember(tmp_path, params=SMALL), 0, 6)
    made = talk.keep()
    answers = memory_ask(made, ["Is the moon pale?"], store=tmp_path).artifact
    assert answers is not None
    sources = read_answers(answers)[0]["sources"]
    named = [source for source in sources if source["file"] is not None]
    assert named
    for source in named:
        said = turn(int(source["file"].removeprefix("turn ")) - 1)
        ids = talk._talk.turn(said.user, said.answer)
        assert source["text"] in talk.memory.model.tokenizer.decode(ids)
