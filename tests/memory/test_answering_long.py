"""Questions and answers of any length: they are read as more of the text, and what leaves the window becomes events."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.asking import MemoryTextState
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.attention import own_attention, run_backbone
from tests.memory.test_exactness import SMALL, full_logits, text_ids
from tests.tiny import FAMILIES, tiny_loaded

TEXT, QUESTION = text_ids(100), text_ids(170, seed=1)


def memory_of(text: list[int], family: str = "qwen3", **settings: Any) -> EpisodicMemory:
    memory = EpisodicMemory(tiny_loaded(family), **SMALL | settings)
    memory.read_ids(text)
    return memory


def state_after(memory: EpisodicMemory, ids: list[int], size: int) -> tuple[MemoryTextState, Tensor]:
    """The state after tokens were asked `size` at a time, and the last hidden states of all of them."""
    state, states = memory.text_state(ids, keep_retrieved=True), []
    with own_attention(memory.model), torch.inference_mode():
        for start in range(0, len(ids), size):
            piece = ids[start : start + size]
            state.begin(piece, retrieve=True)
            hidden = run_backbone(memory.model, torch.tensor([piece]), state, states=state.layer_states)[0]
            state.end(hidden)
            states.append(hidden)
    return state, torch.cat(states)


@pytest.mark.parametrize("refine", ["none", "modularity"])
@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
def test_what_is_asked_is_read_as_more_of_the_text(refine: str, kv_dtype: str) -> None:
    """The oracle is a reader; both begin a chunk at the same tokens."""
    text = text_ids(13 * SMALL["chunk"])
    memory = memory_of(text, refine=refine, kv_dtype=kv_dtype, query="mean")  # as a reader looks for events
    state, asked = state_after(memory, QUESTION, SMALL["chunk"])
    whole = memory_of(text, refine=refine, kv_dtype=kv_dtype, query="mean")
    states = list[Tensor]()
    end = whole.reader.end
    whole.reader.end = lambda ids, step, hidden, listener=None: (  # type: ignore[method-assign]
        states.append(hidden),
        end(ids, step, hidden, listener),
    )
    whole.read_ids(QUESTION)
    assert torch.allclose(asked, torch.cat(states), atol=1e-4)
    forked, events = state._reader, whole.reader.past.events
    assert forked.past.events.evicted == events.evicted
    assert forked.past.events.starts[: events.evicted + 1] == events.starts[: events.evicted + 1]
    known = len(forked.surprise)
    assert torch.allclose(forked.surprise, whole.reader.surprise[:known], atol=1e-4)
    last = {(each.layer, each.events) for each in state.retrieved() if each.step == state.retrieved()[-1].step}
    assert max(event for _, events_of in last for event in events_of) >= memory.reader.past.events.evicted


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1, 8])
def test_with_everything_retrieved_at_its_place_a_long_question_has_full_attention(family: str, size: int) -> None:
    memory = memory_of(TEXT, family, positions="true", n_mem=400)
    _, hidden = state_after(memory, QUESTION, size)
    expected = full_logits(memory, TEXT + QUESTION)[len(TEXT) :]
    assert torch.allclose(memory.model.logits(hidden), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("positions", ["compact", "paper"])
def test_the_window_does_not_grow_with_an_answer(positions: str) -> None:
    memory = memory_of(TEXT, positions=positions)
    most = SMALL["n_local"] + SMALL["max_block"] + SMALL["chunk"]
    attended = []
    for tokens in (20, 400):
        state, _ = state_after(memory, text_ids(tokens, seed=2), 1)
        assert all(window.turned.shape[2] <= most for window in state._reader.windows)
        attended.append(state._reader.windows[0].turned.shape[2])
    events = state._reader.past.events
    assert events.evicted > memory.reader.past.events.evicted + 20
    assert abs(attended[1] - attended[0]) <= SMALL["max_block"]


@pytest.mark.parametrize("every", [3, 10**6])
def test_nothing_leaves_the_window_between_two_retrievals(every: int) -> None:
    memory = memory_of(TEXT, positions="true", n_mem=600)
    how = SamplingParams(max_new_tokens=60, retrieve_every=every)
    [stream] = generate(memory.model, [Request(QUESTION, how, memory=memory)])
    ids = torch.tensor([TEXT + QUESTION])
    with torch.inference_mode():
        made = memory.model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
    assert stream.tokens == made[0, ids.shape[1] :].tolist()[: len(stream.tokens)]
    assert len(stream.tokens) > 40


def test_asking_at_length_leaves_the_memory_as_it_is() -> None:
    memory = memory_of(TEXT)
    before = memory.logits([[7, 8, 9]])
    state_after(memory, QUESTION, 8)
    assert torch.equal(memory.logits([[7, 8, 9]]), before)
    ids = text_ids(50, seed=4)
    memory.read_ids(ids)
    again = memory_of(TEXT)
    again.read_ids(ids)
    assert torch.equal(memory.logits([[7]]), again.logits([[7]]))
    assert memory.reader.past.events.starts == again.reader.past.events.starts


def test_a_question_goes_on_while_its_memory_is_read_on() -> None:
    memory, other = memory_of(TEXT), memory_of(TEXT)
    _, expected = state_after(other, QUESTION, 8)
    state, states = memory.text_state(QUESTION, keep_retrieved=False), list[Tensor]()
    for start in range(0, len(QUESTION), 8):
        piece = QUESTION[start : start + 8]
        with own_attention(memory.model), torch.inference_mode():
            state.begin(piece, retrieve=True)
            states.append(run_backbone(memory.model, torch.tensor([piece]), state)[0])
            state.end(states[-1])
        memory.read_ids(text_ids(40, seed=start))
    assert torch.equal(torch.cat(states), expected)


def test_a_fork_keeps_the_attention_that_was_received_before_it() -> None:
    memory = memory_of(TEXT)
    fork = memory.reader.fork()
    before = [window.mass.clone() for window in fork.windows]
    memory.read_ids(text_ids(8))
    assert all(torch.equal(window.mass, mass) for window, mass in zip(fork.windows, before, strict=True))


def test_a_short_answer_measures_no_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = memory_of(TEXT, n_local=96)
    monkeypatch.setattr("pasctl.memory.reader.token_surprise", lambda *_: 1 / 0)
    assert memory.ask("Who?", max_new_tokens=2) is not None
