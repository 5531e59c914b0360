"""Memory attends exactly what it says: full attention where that is promised, a slow oracle elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.memory.chunks import ChunkedPass
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.reader import Listener, Reader
from pasctl.memory.recall import ForwardPass
from pasctl.models.load import LoadedModel
from tests.memory.oracle import naive_hidden
from tests.tiny import FAMILIES, VOCAB, tiny_loaded

SMALL: dict[str, Any] = {
    "n_init": 4,
    "n_local": 32,
    "n_mem": 24,
    "chunk": 8,
    "min_block": 2,
    "max_block": 8,
    "repr_topk": 2,
    "gamma": 0.5,
}


def text_ids(length: int, seed: int = 0) -> list[int]:
    return torch.randint(6, VOCAB - 20, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def full_logits(memory: EpisodicMemory, ids: list[int]) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = memory.model.model(torch.tensor([ids], device=memory.model.device)).logits[0].cpu()
    return logits


def ask_ids(memory: EpisodicMemory, *questions: list[int]) -> Tensor:
    return memory.logits(questions).cpu()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["paper", "compact", "true"])
def test_text_within_the_window_is_full_attention(family: str, positions: str) -> None:
    memory = EpisodicMemory(tiny_loaded(family), **SMALL | {"positions": positions, "n_local": 128})
    text, question = text_ids(90), text_ids(20, seed=1)
    memory.read_ids(text)
    expected = full_logits(memory, text + question)
    assert torch.allclose(ask_ids(memory, question)[0], expected[-1], atol=1e-4, rtol=1e-5)
    surprise = torch.nn.functional.cross_entropy(expected[: len(text) - 1], torch.tensor(text[1:]), reduction="none")
    assert torch.allclose(memory.reader.surprise[1:], surprise, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "chunk"), [*((family, 5) for family in FAMILIES), *(("qwen3", chunk) for chunk in (1, 8, 16))]
)
@pytest.mark.parametrize("refine", ["none", "modularity"])
def test_true_positions_with_everything_recalled_are_full_attention(family: str, chunk: int, refine: str) -> None:
    memory = EpisodicMemory(
        tiny_loaded(family), **SMALL | {"positions": "true", "n_mem": 400, "chunk": chunk, "refine": refine}
    )
    text, question = text_ids(150), text_ids(11, seed=1)
    memory.read_ids(text)
    assert memory.reader.past.events.evicted > 5
    expected = full_logits(memory, text + question)
    assert torch.allclose(ask_ids(memory, question)[0], expected[-1], atol=1e-4, rtol=1e-5)
    surprise = torch.nn.functional.cross_entropy(expected[: len(text) - 1], torch.tensor(text[1:]), reduction="none")
    assert torch.allclose(memory.reader.surprise[1:], surprise, atol=1e-4)


class Watched(Reader):
    """A reader that notes, for every token and layer, what was attended."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.attended: dict[tuple[int, int], tuple[list[int], int]] = {}
        self.hidden: list[Tensor] = []

    def note(self, step: ForwardPass, layer: int) -> None:
        far = list(range(self.params.n_init)) if layer in self.past.first else []
        for event in step.chosen[layer] if far else ():
            far += range(*self.past.events.span(event))
        for t in step.places:
            self.attended[layer, t] = (far, step.windows[layer].start)

    def end(self, ids: Sequence[int], step: ChunkedPass, hidden: Tensor, listener: Listener | None = None) -> None:
        self.hidden.append(hidden)
        super().end(ids, step, hidden, listener)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[EpisodicMemory, Watched]]:
    """Makes a memory with a reader that watches what its passes attend."""
    attend = ForwardPass.attend

    def make(model: LoadedModel, **settings: Any) -> tuple[EpisodicMemory, Watched]:
        memory = EpisodicMemory(model, **settings)
        memory.reader = reader = Watched(memory.model, memory.params)

        def watching(step: ForwardPass, layer: int, *given: Any) -> Tensor:
            out = attend(step, layer, *given)
            reader.note(step, layer)
            return out

        monkeypatch.setattr(ForwardPass, "attend", watching)
        return memory, reader

    return make


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
@pytest.mark.parametrize("positions", ["paper", "compact", "true"])
def test_the_hidden_states_equal_a_slow_oracle(family: str, positions: str, watched: Any) -> None:
    memory, reader = watched(tiny_loaded(family), **SMALL | {"positions": positions})
    text = text_ids(110)
    memory.read_ids(text)
    assert reader.past.events.evicted > 5
    slow = naive_hidden(
        memory.model.model, text, lambda layer, t: reader.attended[layer, t], positions=positions, n_local=32
    )
    assert torch.allclose(torch.cat(reader.hidden), slow, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe"])
@pytest.mark.parametrize("settings", [{}, {"refine": "modularity"}, {"positions": "paper", "kv_dtype": "int8"}])
def test_chunks_that_share_a_pass_are_read_as_if_each_had_its_own(
    family: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, watched: Any
) -> None:
    text, found, model = text_ids(230), [], tiny_loaded(family)
    for most in (1, 512):
        monkeypatch.setattr("pasctl.memory.steps.PASS_TOKENS", most)
        memory, reader = watched(model, **SMALL | settings)
        assert reader.pass_tokens == (SMALL["chunk"] if most == 1 else 3 * SMALL["chunk"])
        memory.read_ids(text)
        found.append((reader.attended, reader.past.events, torch.cat(reader.hidden), ask_ids(memory, text_ids(9))))
    (alone, events, states, logits), (together, same_events, same_states, same_logits) = found
    assert together == alone
    assert same_events.starts == events.starts
    assert same_events.evicted == events.evicted > 5
    assert torch.allclose(same_events.representatives(0), events.representatives(0), atol=1e-5)
    assert torch.allclose(same_states, states, atol=1e-4)
    assert torch.allclose(same_logits, logits, atol=1e-4)


def test_no_key_is_attended_twice_and_recall_keeps_its_budget(watched: Any) -> None:
    memory, reader = watched(tiny_loaded(), **SMALL)
    memory.read_ids(text_ids(300))
    for far, start in reader.attended.values():
        assert len(set(far)) == len(far)
        assert all(token < start for token in far)
        assert len(far) <= SMALL["n_init"] + SMALL["n_mem"]
    for (_, t), (_, start) in reader.attended.items():
        assert min(t, SMALL["n_local"]) <= t - start + 8 <= SMALL["n_local"] + SMALL["max_block"] + 2 * SMALL["chunk"]


@pytest.mark.parametrize("positions", ["paper", "compact"])
def test_questions_in_a_batch_equal_single_ones(positions: str) -> None:
    memory = EpisodicMemory(tiny_loaded(), **SMALL | {"positions": positions})
    memory.read_ids(text_ids(200))
    questions = [text_ids(length, seed=length) for length in (3, 21, 8)]
    together = ask_ids(memory, *questions)
    for row, question in enumerate(questions):
        assert torch.allclose(together[row], ask_ids(memory, question)[0], atol=1e-4, rtol=1e-4)


def test_asking_does_not_change_the_memory() -> None:
    memory = EpisodicMemory(tiny_loaded(), **SMALL)
    memory.read_ids(text_ids(120))
    first = ask_ids(memory, text_ids(9, seed=2))
    assert torch.equal(first, ask_ids(memory, text_ids(9, seed=2)))


@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
@pytest.mark.parametrize("refine", ["none", "conductance"])
def test_a_text_taken_up_from_files_goes_on_bit_for_bit(tmp_path: Path, kv_dtype: str, refine: str) -> None:
    settings = SMALL | {"kv_dtype": kv_dtype, "refine": refine}
    files: list[Path] = []

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        path = tmp_path / f"{number}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        files.append(path)
        return path

    model, text, question = tiny_loaded(), text_ids(230), text_ids(9, seed=3)
    whole = EpisodicMemory(model, writer=write, **settings)
    whole.read_ids(text)
    whole.finish()
    expected = ask_ids(whole, question)
    plain = EpisodicMemory(model, **settings)
    plain.read_ids(text)
    assert torch.equal(expected, ask_ids(plain, question))
    for kept in (1, len(files) // 2, len(files)):
        later = EpisodicMemory(model, **settings)
        later.restore(files[:kept])
        later.read_ids(text[len(later.reader.ids) :])
        assert torch.equal(expected, ask_ids(later, question))
        assert later.reader.past.events.starts == whole.reader.past.events.starts
        assert torch.equal(later.reader.surprise, whole.reader.surprise)
