"""Answers as they are written: pieces, how they end, and which recall belongs to them."""

from __future__ import annotations

from typing import Any

import pytest

from pasctl.errors import InputError
from pasctl.generation import loop
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.asking import Answer
from pasctl.memory.episodic import EpisodicMemory
from tests.memory.test_exactness import SMALL
from tests.tiny import tiny_loaded

TEXT = "".join(
    f"I worry about things {n}. Vivid imagination, {n * 7 % 13} answers. Wörter 生きる 🙂. " for n in range(9)
)
QUESTIONS = [
    "Who?",
    "How accurately does this statement describe you? Options: (A) Very Accurate (E) Neither",
    "Why not?",
]


@pytest.fixture(scope="module")
def memory() -> EpisodicMemory:
    memory = EpisodicMemory(tiny_loaded("llama"), **SMALL | {"n_local": 128, "n_mem": 48})
    memory.read(TEXT)
    assert memory.reader.past.events.evicted > 5
    return memory


def streamed(memory: EpisodicMemory, question: str, how: SamplingParams) -> tuple[list[str], Answer]:
    pieces, stream = [], memory.stream(question, how)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


@pytest.mark.parametrize("seed", range(6))
def test_pieces_joined_are_the_answer_and_never_half_a_character(memory: EpisodicMemory, seed: int) -> None:
    how = SamplingParams(max_new_tokens=24, temperature=3.0, seed=seed)
    pieces, answer = streamed(memory, QUESTIONS[0], how)
    whole = memory.model.tokenizer.decode(answer.tokens, skip_special_tokens=True).strip()
    assert "".join(pieces) == answer.text == whole
    assert all(pieces)
    [again] = memory.ask_all(QUESTIONS[:1], how)
    assert again == answer


def test_a_character_is_shown_when_its_last_byte_is_there(
    memory: EpisodicMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = memory.prompt.encode(" eins 🙂 zwei \n")
    assert len(ids) > 10
    scripted = iter(ids)
    monkeypatch.setattr("pasctl.generation.active.sample", lambda *given: [next(scripted)])
    pieces, answer = streamed(memory, "Who?", SamplingParams(max_new_tokens=len(ids)))
    assert "🙂" in "".join(pieces).split()
    assert not any("\ufffd" in piece for piece in pieces)
    assert answer.text == "eins 🙂 zwei" == "".join(pieces)


def test_an_answer_says_how_it_ended(memory: EpisodicMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    how = SamplingParams(max_new_tokens=5)
    [whole] = memory.ask_all(["Who?"], how)
    assert (whole.stop, len(whole.tokens)) == ("length", 5)
    last = next(place for place in range(1, 5) if whole.tokens[place] not in whole.tokens[:place])
    monkeypatch.setattr(loop, "end_tokens", lambda model: {whole.tokens[last]})
    [ended] = memory.ask_all(["Who?"], how)
    assert (ended.stop, ended.tokens) == ("end", whole.tokens[:last])


def steps(answer: Answer) -> list[list[tuple[Any, ...]]]:
    """What each layer recalled, step by step, whatever the steps' numbers."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for each in answer.recalled:
        found.setdefault(each.step, []).append((each.layer, each.events))
    return list(found.values())


def test_recall_in_a_batch_is_that_of_a_question_alone(memory: EpisodicMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    how = SamplingParams(max_new_tokens=6)
    first = memory.ask_all(QUESTIONS, how)
    # one of the rows ends early and the others go on
    early = next(token for token in first[0].tokens[1:] if token not in first[1].tokens)
    monkeypatch.setattr(loop, "end_tokens", lambda model: {early})
    together = memory.ask_all(QUESTIONS, how)
    assert together[0].stop == "end"
    assert "length" in {answer.stop for answer in together}
    for question, answer in zip(QUESTIONS, together, strict=True):
        [alone] = memory.ask_all([question], how)
        assert alone.tokens == answer.tokens
        assert steps(alone) == steps(answer)
        chunks = -(-len(memory.prompt.question(question)) // SMALL["chunk"])
        assert answer.first_step == alone.first_step == chunks - 1


def test_thinking_changes_only_what_stands_behind_the_question(memory: EpisodicMemory) -> None:
    prompt = memory.prompt
    plain, thinking = prompt.question("Who?"), prompt.question("Who?", think=True)
    empty = prompt._encode("<think>\n\n</think>\n\n")
    assert plain == [*thinking, *empty]
    [answer] = memory.ask_all(["Who?"], SamplingParams(max_new_tokens=4, think=True))
    [other] = memory.ask_all(["Who?"], SamplingParams(max_new_tokens=4))
    assert [answer.tokens[0], other.tokens[0]] == memory.logits([thinking, plain]).argmax(-1).tolist()
    assert answer.tokens != other.tokens


def test_a_model_without_the_switch_cannot_be_asked_to_think() -> None:
    memory = EpisodicMemory(tiny_loaded(template="llama"), **SMALL)
    memory.read("I worry.")
    with pytest.raises(InputError, match="no switch for thinking"):
        memory.ask("Who?", think=True)
