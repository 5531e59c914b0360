"""A chat with the demo model: every answer is the one that the model gives to the whole conversation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from pasctl.chat.session import who_answers
from pasctl.errors import InputError, MissingError
from pasctl.generation.engine import Engine
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.conversation import Conversation
from pasctl.models.load import LoadedModel
from pasctl.stages.choose_alpha import choose_alpha, chosen_alphas
from pasctl.stages.memory import memory_run
from pasctl.stages.stored_memory import EpisodicMemory
from pasctl.stages.target import Steering, intervention
from pasctl.stages.text import Text
from pasctl.steering.hooks import steer
from pasctl.store import Store
from tests.chat.conftest import SHORT, Said, Talk

FILLER = "A pass key is hidden in the long text below. Find it and remember it: you will be asked for it."


def generated(model: LoadedModel, *messages: str, tokens: int = SHORT.max_new_tokens) -> str:
    """What transformers' own generate says behind messages, greedily."""
    roles = ("user", "assistant")
    text = model.chat.render_messages(
        [{"role": roles[place % 2], "content": message} for place, message in enumerate(messages)]
    )
    ids = torch.tensor([model.tokenizer(text, add_special_tokens=False)["input_ids"]])
    written = model.model.generate(ids, max_new_tokens=tokens, do_sample=False)[0, ids.shape[1] :]
    return str(model.tokenizer.decode(written, skip_special_tokens=True)).strip()


def test_answers_are_the_models_to_the_whole_conversation(talk: Talk, apart: LoadedModel) -> None:
    dialogue, shown = talk()
    dialogue.run(Said(FILLER, "", "I worry about things.", "And now?"))
    said = [FILLER]
    for message, answer in zip(["I worry about things.", "And now?", None], shown.answers, strict=True):
        assert answer == generated(apart, *said)
        said += [answer, *([message] if message else [])]
    assert [turn.answer for turn in dialogue.session.turns] == shown.answers
    cut = [turn.tokens == 24 for turn in dialogue.session.turns]
    assert [turn.stop == "length" for turn in dialogue.session.turns] == cut
    assert shown.notes == ["cut off after 24 tokens (--max-new-tokens)"] * sum(cut)
    assert 0 < sum(cut) < 3


def test_personas_steer_and_are_compared_with_nobody(talk: Talk, apart: LoadedModel, people_store: Path) -> None:
    dialogue, shown = talk()
    lines = Said("/persona E+", "/alpha 32", FILLER, "/compare", "/compare I worry about things.", "/persona none")
    dialogue.run(lines)
    with steer(apart, intervention(apart, "E+", 32, store=people_store)):
        steered = generated(apart, FILLER)
        aside = generated(apart, FILLER, steered, "I worry about things.")
    assert shown.answers == [steered]
    assert steered != generated(apart, FILLER)
    assert shown.compared == [
        ("E+ at alpha 32", aside),
        ("no persona", generated(apart, FILLER, steered, "I worry about things.")),
    ]
    assert lines.prompts == ["> ", "E+ 1 > ", *["E+ 32 > "] * 4, "> "]
    (turn,) = dialogue.session.turns  # what was compared leaves no trace
    assert (turn.persona, turn.alpha, turn.directions) == ("E+", 32.0, "directions/demo/e+-n-@v1")
    compared = [(told.persona, told.answer, more) for told, more in shown.turns[1:3]]
    assert compared == [("E+", steered, {"compared": True}), (None, generated(apart, FILLER), {"compared": True})]


def test_the_last_message_once_more(talk: Talk) -> None:
    how = SamplingParams(max_new_tokens=12, temperature=1.5, seed=5)
    dialogue, shown = talk(how=how)
    dialogue.run(Said(FILLER, "/again", "/undo", FILLER))
    assert [turn.seed for turn, _ in shown.turns] == [5, 6, 7]
    assert len(set(shown.answers)) > 1
    assert [turn.answer for turn in dialogue.session.turns] == shown.answers[-1:]
    same, once_more = talk(how=how)
    same.run(Said(FILLER, "/again"))
    assert once_more.answers == shown.answers[:2]


def test_the_system_text_is_said_first(talk: Talk) -> None:
    plain, steady = talk(), talk(system="You are outgoing.")
    for dialogue, _ in (plain, steady):
        dialogue.run(Said("Who are you?"))
    plain[0].run(Said("/reset", "/system You are outgoing.", "Who are you?", "/system", "/system none", "/system"))
    assert plain[0].session.turns == (plain[0].session.turns[0],)
    assert plain[1].answers[-1] == steady[1].answers[0]
    assert plain[1].notes[-2:] == ["You are outgoing.", "no system text"]


def test_turns_that_do_not_fit_are_left_out_with_one_word(talk: Talk) -> None:
    dialogue, shown = talk(how=SamplingParams(max_new_tokens=200))
    dialogue.run(Said(*["I worry about things. " * 8] * 12))
    left_out = [turn.left_out for turn, _ in shown.turns]
    assert left_out[0] == 0 < left_out[-1]
    assert left_out == sorted(left_out)
    told = [note for note in shown.notes if "left out" in note]
    assert told == ["from here on the oldest turns are left out: the model's context does not hold them"]


def test_errors_end_a_piped_chat_and_not_one_with_a_user(talk: Talk, tmp_path: Path) -> None:
    for lines in (["/persona Mona"], ["/alpha much"], ["/undo"], ["/compare"], ["/compare x"], ["/again"], ["/sav x"]):
        dialogue, shown = talk()
        with pytest.raises(InputError):
            dialogue.run(Said(*lines))
        dialogue, shown = talk(interactive=True)
        dialogue.run(Said(*lines, "hello"))
        assert len(shown.errors) == len(shown.answers) == 1
    dialogue, _ = talk(tmp_path / "empty")
    with pytest.raises(MissingError, match="holds no directions of demo"):
        dialogue.run(Said("/persona"))


def test_ctrl_c_stops_an_answer_and_twice_leaves(talk: Talk, apart: LoadedModel) -> None:
    dialogue, shown = talk(interactive=True, how=SamplingParams(max_new_tokens=300))
    shown.raise_after = (3, KeyboardInterrupt)
    dialogue.run(Said(FILLER))
    (turn,) = dialogue.session.turns
    whole = generated(apart, FILLER, tokens=60)
    assert turn.stop == "stopped"
    assert shown.notes == ["stopped"]
    assert turn.answer == shown.answers[0]
    assert 0 < len(turn.answer) < len(whole)
    assert whole.startswith(turn.answer)

    shown.raise_after = None
    dialogue.run(Said(KeyboardInterrupt, "I worry about things.", KeyboardInterrupt))  # not twice in a row
    assert len(dialogue.session.turns) == 2
    with pytest.raises(KeyboardInterrupt):
        dialogue.run(Said(KeyboardInterrupt, KeyboardInterrupt))
    piped, shown = talk()
    shown.raise_after = (3, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        piped.run(Said(FILLER))


def test_a_text_in_memory_answers_with_the_turns_behind_it(talk: Talk, apart: LoadedModel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    params = MemoryParams(n_init=8, n_local=160, n_mem=64, chunk=16, min_block=8, max_block=32)
    text = Text("text.txt", "I worry about things. The sea is grey. " * 30)
    memory_run(apart, [text], params=params, store=store)
    read = EpisodicMemory(apart, params=params)
    read.read(text.content)
    dialogue, shown = talk(store, system="You are quiet.", recalled=True)
    dialogue.run(Said("/memory memory/demo/text", "Who worries?", "Why?", "/memory", "/memory none", "/memory"))
    assert shown.notes == ["memory/demo/text@v1", "no memory"]
    first = read.ask("You are quiet.\n\nWho worries?", max_new_tokens=24)
    chat = Conversation(apart.chat)
    ids = [*chat.turn("\n\nYou are quiet.\n\nWho worries?", first), *chat.question("Why?")]
    [second] = generate(apart, [Request(ids, SHORT, memory=read, strip=True)])
    assert shown.answers == [first, second.take()]
    assert [turn.memory for turn, _ in shown.turns] == ["memory/demo/text@v1"] * 2
    recalled = shown.turns[0][1]["recalled"]
    assert recalled
    assert all(each["text"] in text.content and 0 < each["share"] <= 1 for each in recalled)
    dialogue.run(Said("/memory memory/demo/text", *["Why is the sea grey? " * 5] * 6))
    assert dialogue.session.turns[-1].left_out > 0
    assert shown.notes[-1] == "from here on the oldest turns are left out: the memory's window does not hold them"


def test_a_memory_that_was_read_steered_is_asked_as_it_was_read(
    talk: Talk, apart: LoadedModel, people_store: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(people_store, tmp_path / "store"))
    params = MemoryParams.for_context(512)
    memory_run(
        apart,
        [Text("t.txt", FILLER)],
        params=params,
        steering=Steering(8, None, "E+"),
        label="steered",
        store=store,
    )
    memory_run(apart, [Text("t.txt", FILLER)], params=params, label="plain", store=store)
    dialogue, shown = talk(store, interactive=True)
    dialogue.run(Said("/memory memory/demo/steered", "/persona E+", "/memory memory/demo/steered"))
    assert [error.message for error in shown.errors] == [
        "memory/demo/steered@v1 was read steered to E+ at alpha 8, it answers with nothing else"
    ] * 2
    dialogue.run(Said("/alpha 8", "/memory memory/demo/steered", "Who?", "/alpha 4", "/persona none", "/compare Who?"))
    assert len(shown.errors) == 5
    assert dialogue.state.who == "E+ at alpha 8"
    assert [turn.who for turn in dialogue.session.turns] == ["E+ at alpha 8"]
    dialogue.run(Said("/memory memory/demo/plain", "/alpha 4", "Who?"))  # what was read unsteered answers anybody
    assert dialogue.session.turns[-1].memory == "memory/demo/plain@v1"
    assert len(shown.errors) == 5
    told = "memory/demo/plain@v1 is read without steering, whoever answers: only answers are steered"
    assert shown.notes.count(told) == 1


def test_save_writes_what_was_said(talk: Talk, tmp_path: Path) -> None:
    dialogue, shown = talk()
    dialogue.run(Said("Who are you?", f"/save {tmp_path / 'talk.json'}"))
    document = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert [turn["answer"] for turn in document["turns"]] == shown.answers


def test_a_reader_that_has_gone_ends_the_chat_and_frees_the_engine(talk: Talk, engine: Engine) -> None:
    dialogue, shown = talk(interactive=True, how=SamplingParams(max_new_tokens=400))
    shown.raise_after = (2, BrokenPipeError)
    with pytest.raises(BrokenPipeError):
        dialogue.run(Said(FILLER))
    engine.call(lambda: None).result(30)
    assert engine.counts().running == 0


def test_without_an_alpha_a_persona_has_the_one_that_was_chosen_for_it(
    talk: Talk, apart: LoadedModel, people_store: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(people_store, tmp_path / "store"))
    (tmp_path / "text").write_text("The sea is grey.")
    neutral = str(tmp_path / "text")
    strengths = choose_alpha(model=apart, alphas="0,16", folds=2, neutral_text=neutral, store=store).artifact
    assert strengths is not None
    chosen = chosen_alphas(strengths, "persona", None)
    dialogue, shown = talk(store, alpha="auto")
    dialogue.run(Said("/persona E+", "/persona N-", "/alpha 3", "/alpha auto"))
    assert dialogue.state.who == who_answers("N-", chosen[1])
    told = [f"alpha {alpha:g} (chosen in {strengths.name}" for alpha in (*chosen, chosen[1])]
    assert [note.startswith(start) for note, start in zip(shown.notes, told, strict=True)] == [True] * 3


def test_where_none_was_chosen_an_alpha_is_chosen_when_a_persona_is_asked_for(
    talk: Talk, people_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(shutil.copytree(people_store, tmp_path / "store"))
    loads: list[object] = []
    monkeypatch.setattr("pasctl.models.load.load_model", lambda *rest, **more: loads.append(rest))
    dialogue, shown = talk(store, alpha="auto")
    assert not list(Store(store).artifacts("strengths"))
    dialogue.run(Said("/persona E+", "/persona none", "/persona E+"))
    [strengths] = Store(store).artifacts("strengths")
    chosen = chosen_alphas(strengths, "persona", None)
    assert dialogue.state.who == who_answers("E+", chosen[0])
    assert sum(f"alpha {chosen[0]:g} (chosen in {strengths.name}" in note for note in shown.notes) == 2
    assert not loads
