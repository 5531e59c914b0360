"""A conversation that is a memory: the same as one without while it is short, and the same bits however it was held."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pasctl.chat.conversations import TURNS, find_conversation, held, model_of_conversation
from pasctl.chat.journal import Journal
from pasctl.chat.persistent import PersistentConversation, require_same
from pasctl.chat.session import Session, Turn
from pasctl.errors import BusyError, InputError, IntegrityError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks.passkey import QUESTION, make
from pasctl.models.load import LoadedModel
from pasctl.models.options import ModelOptions
from pasctl.stages.memory import memory_run, open_memory
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_show import memory_show
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.stages.text import Text
from pasctl.store import Store
from tests.chat.conftest import Said, Talk

SMALL = MemoryParams(n_init=8, n_local=48, n_mem=32, chunk=8, min_block=4, max_block=16)
# of the demo's walk: sizes that the demo model finds pass keys with
FINDING = MemoryParams(
    n_init=8, n_local=160, n_mem=256, chunk=16, min_block=16, max_block=32, repr_topk=8, segmenter="fixed"
)
MESSAGES = ("I worry about things.", "The sea is grey. The moon is pale. Off we walk.", "Who are you?", "Why? " * 9)

Remember = Callable[..., PersistentConversation]


def turn(number: int) -> Turn:
    return Turn(f"{number}: the sea is grey, and the hills are green.", f"The moon is pale, {number}.", "demo")


def hold(conversation: PersistentConversation, first: int, stop: int) -> PersistentConversation:
    """Say some turns, each after its prompt as in a chat."""
    for number in range(first, stop):
        conversation.prompt(Session(), turn(number).user, "next")
        conversation.add(turn(number))
    return conversation


def same(one: PersistentConversation, other: PersistentConversation) -> bool:
    """Whether two memories hold the same to the bit."""
    a, b = one.memory.reader, other.memory.reader
    questions = [one.memory.prompt.question("Why?")]
    return (
        a.ids == b.ids
        and a.past.events.starts == b.past.events.starts
        and torch.equal(a.surprise, b.surprise)
        and torch.equal(one.memory.logits(questions), other.memory.logits(questions))
    )


def test_while_it_is_short_it_is_the_conversation_without_a_memory(
    talk: Talk, remember: Remember, tmp_path: Path
) -> None:
    wide = MemoryParams(n_init=8, n_local=400, n_mem=64, chunk=16, min_block=8, max_block=32)
    conversation = remember(tmp_path, params=wide, system="You are quiet.")
    found = []
    for system, kept in (("You are quiet.", None), (None, conversation)):
        dialogue, shown = talk(system=system, conversation=kept)
        dialogue.run(Said(*MESSAGES[:3], "/again", "/undo", *MESSAGES[2:], "/persona E+", "/compare Who?"))
        found.append((shown.answers, shown.compared[1]))
    assert found[0] == found[1]
    assert dialogue.session.system == "You are quiet."
    assert conversation.memory.reader.past.events.evicted == 0


def test_two_sessions_a_killed_one_and_a_single_one_come_to_the_same_bits(
    remember: Remember, tmp_path: Path, demo: ModelHandle
) -> None:
    single = hold(remember(tmp_path / "a", params=SMALL), 0, 8)
    single.keep()
    hold(remember(tmp_path / "b", params=SMALL), 0, 3).keep()
    hold(remember(tmp_path / "b", params=SMALL), 3, 6)  # and is killed
    assert Journal(tmp_path / "b", "demo", "talk").path.exists()
    third = hold(remember(tmp_path / "b", params=SMALL), 6, 8)
    made = third.keep()
    assert made is not None
    assert not Journal(tmp_path / "b", "demo", "talk").path.exists()
    assert single.memory.reader.past.events.evicted > 0
    assert same(single, third)
    assert third.turns == tuple(turn(number) for number in range(8))

    store = Store(tmp_path / "b")
    assert made.name == "memory/demo/talk@v2"
    assert [source.name for source in made.inputs.values()] == ["memory/demo/talk@v1"]
    assert [each["user"] for each in made.read_json(TURNS)] == [each.user for each in third.turns]
    opened = open_memory(made, demo, store=store)
    assert opened.reader.ids == third.memory.reader.ids
    assert [problem for problem in store.verify(deep=True) if not problem.note] == []
    # what the versions share is on disk once
    shared = set(made.files("segments/")) & set(store.resolve("memory/demo/talk@v1").files("segments/"))
    assert shared
    assert all((made.path / name).stat().st_nlink == 2 for name in shared)


def test_a_kill_between_the_store_and_the_journal_says_nothing_twice(remember: Remember, tmp_path: Path) -> None:
    first = hold(remember(tmp_path, params=SMALL), 0, 3)
    journal = Journal(tmp_path, "demo", "talk").path
    before = journal.read_bytes()
    first.keep()
    journal.write_bytes(before)
    again = remember(tmp_path, params=SMALL)
    assert again.turns == first.turns
    hold(again, 3, 4)
    assert remember(tmp_path, params=SMALL).turns == tuple(turn(number) for number in range(4))

    document = json.loads(journal.read_text())
    document["before"] = 2
    journal.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="goes on behind turn 2"):
        remember(tmp_path, params=SMALL)
    journal.write_text("{")
    with pytest.raises(IntegrityError, match="is no journal of a conversation"):
        remember(tmp_path, params=SMALL)


def test_a_long_session_makes_versions_on_the_way(
    remember: Remember, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pasctl.chat.persistent.KEEP_TOKENS", 100)
    long = hold(remember(tmp_path / "a", params=SMALL), 0, 12)
    assert long.keep() is not None
    assert len(Store(tmp_path / "a").artifacts("memory")) > 2
    assert same(long, hold_all(remember(tmp_path / "b", params=SMALL)))


def hold_all(conversation: PersistentConversation) -> PersistentConversation:
    hold(conversation, 0, 12).keep()
    return conversation


def test_what_was_said_last_can_be_taken_back_and_answered_again(
    talk: Talk, remember: Remember, tmp_path: Path
) -> None:
    dialogue, shown = talk(conversation=remember(tmp_path / "a", params=SMALL), interactive=True)
    dialogue.run(Said(MESSAGES[0], MESSAGES[1], "/persona E+", "/compare Why?", "/persona none", "/undo"))
    dialogue.run(Said(MESSAGES[2], "/again"))
    plain, answers = talk(conversation=remember(tmp_path / "b", params=SMALL))
    plain.run(Said(MESSAGES[0], MESSAGES[2]))
    assert [each.answer for each in dialogue.session.turns] == answers.answers
    assert Journal(tmp_path / "a", "demo", "talk").read() is not None
    dialogue.run(Said("/undo", "/undo", "/reset", "/memory latest", "/system x"))
    assert [error.message.split(":")[0] for error in shown.errors] == [
        "the last turn is part of the memory 'talk' already",
        "what was said is remembered as 'talk'",
        "this conversation is a memory itself (talk) and recalls from no other",
        "the system text of 'talk' stands at its beginning and stays",
    ]


def test_a_later_session_finds_what_was_said_in_a_long_message(
    talk: Talk, remember: Remember, tmp_path: Path, demo: ModelHandle, apart: LoadedModel
) -> None:
    found = 0
    prompt = Prompt(demo.chat())
    for seed in range(2):
        first = remember(tmp_path, f"keys-{seed}", params=FINDING)
        trial = make(700, 0.5, seed, lambda text: len(prompt.encode(text)))
        dialogue, shown = talk(conversation=first, interactive=True, how=SamplingParams(max_new_tokens=4))
        dialogue.run(Said(trial.text, "/undo"))
        assert "too long to be taken back" in shown.errors[0].message
        first.keep()
        second = remember(tmp_path, f"keys-{seed}", params=FINDING)
        dialogue, shown = talk(conversation=second, recalled=True)
        dialogue.run(Said(QUESTION))
        assert shown.turns[0][1]["recalled"]
        assert second.memory.reader.past.events.evicted > 0
        found += trial.answers[0] in shown.answers[0]
        second.keep()
    assert found >= 1

    ref = "memory/demo/keys-1"  # a memory like any other
    asked = memory_ask(ref, [QUESTION], model=apart, store=tmp_path).artifact
    assert asked is not None
    assert trial.answers[0] in read_answers(asked)[0]["answer"]
    assert memory_show(ref, store=tmp_path)["figures"]["tokens"] > 700


def test_a_message_that_was_read_and_not_answered_is_a_turn_without_an_answer(
    talk: Talk, remember: Remember, tmp_path: Path
) -> None:
    conversation = remember(tmp_path, params=SMALL)
    dialogue, shown = talk(conversation=conversation, interactive=True)
    original = conversation._run

    def interrupted(function: Callable[[], None]) -> None:
        original(function)
        raise KeyboardInterrupt

    conversation._run = interrupted
    dialogue.run(Said("The sea is grey. " * 40))
    conversation._run = original
    assert [(each.answer, each.stop) for each in dialogue.session.turns] == [("", "stopped")]
    dialogue.run(Said("Who are you?", "The moon is pale. " * 4))
    conversation._run = interrupted
    dialogue.run(Said("And now?"))  # while the turn before is read
    conversation._run = original
    assert (len(dialogue.session.turns), shown.notes[-1]) == (3, "stopped")
    dialogue.run(Said("/undo", "/again"))
    assert [error.message for error in shown.errors] == ["the last turn is part of the memory 'talk' already"] * 2
    dialogue.run(Said("And now?"))
    assert len(dialogue.session.turns) == 4
    conversation.keep()
    again = remember(tmp_path / "b", params=SMALL)
    for each in dialogue.session.turns:
        again.add(each)
    again.keep()
    assert same(conversation, again)


def test_only_the_same_conversation_goes_on(
    remember: Remember, tmp_path: Path, demo: ModelHandle, apart: LoadedModel
) -> None:
    store = Store(tmp_path)
    kept = hold(remember(tmp_path, params=SMALL, system="Be brief."), 0, 2)
    kept.keep()
    require_same(kept, {"n_local": 48}, "Be brief.")
    with pytest.raises(InputError, match="begun with n_local 48, it cannot go on with 64"):
        require_same(kept, {"n_local": 64}, None)
    with pytest.raises(InputError, match="another system text"):
        require_same(kept, {}, "Be long.")
    with pytest.raises(InputError, match=r"was held with demo \(memory/demo/talk@v1\), not with qwen3-0.6b"):
        find_conversation(store, "qwen3-0.6b", "talk")
    memory_run(apart, [Text("t", "The sea is grey.")], params=SMALL, label="text", store=store)
    with pytest.raises(InputError, match="is no conversation but a text that was read"):
        find_conversation(store, "demo", "text")
    assert find_conversation(store, "demo", "new") is None

    folder = shutil.copytree(demo.source.path, tmp_path / "demo")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 5000.0, "rms_norm_eps": 1e-5}))
    with pytest.raises(InputError, match="was made with another model"):
        model_of_conversation(Run(store), ModelHandle(str(folder)), "talk")
    assert model_of_conversation(Run(store), ModelHandle("demo"), "talk").dtype == "float32"
    with pytest.raises(InputError, match="was read in float32"):
        model_of_conversation(Run(store), ModelHandle("demo", ModelOptions(dtype="bfloat16")), "talk")


def test_one_process_at_a_time_holds_a_conversation(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with held(store, "demo", "talk"):
        with pytest.raises(BusyError, match="'talk' with demo is being held by process"), held(store, "demo", "talk"):
            pass
        with held(store, "demo", "other"):
            pass
    with held(store, "demo", "talk"):
        pass
    with pytest.raises(InputError, match="cannot be part of an artifact's name"), held(store, "demo", "../talk"):
        pass
