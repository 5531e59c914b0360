"""Models whose own attention slides: such layers see what the model's masks let them see, and recall nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from pasctl.errors import InputError
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.full import FullAttention
from pasctl.models.load import LoadedModel
from tests.memory.test_exactness import SMALL, full_logits, text_ids
from tests.tiny import LAYERS, tiny_config, tiny_model, tiny_tokenizer

MIXED = {
    "middle": ["sliding_attention", "full_attention", "sliding_attention"],
    "ends": ["full_attention", "sliding_attention", "full_attention"],
}
KINDS = list(MIXED)
# shorter than a chunk, within the local window of 32, beyond it
WIDTHS = [3, 20, 50]


def sliding_model(kind: str, width: int, attn: str = "sdpa") -> LoadedModel:
    """A Qwen3 with some sliding layers; weights of the tiny model."""
    family = "qwen3"
    changed: dict[str, Any] = {"sliding_window": width, "use_sliding_window": True, "layer_types": MIXED[kind]}
    plain = tiny_config(family)
    model = AutoModelForCausalLM.from_config(
        type(plain)(**{**plain.to_dict(), **changed}), dtype=torch.float32, attn_implementation=attn
    )
    model.load_state_dict(tiny_model(family).state_dict())
    return LoadedModel.wrap(model, tiny_tokenizer())


def full_layers(kind: str) -> set[int]:
    return {layer for layer, each in enumerate(MIXED[kind]) if each == "full_attention"}


def read_and_watch(memory: EpisodicMemory, ids: list[int]) -> set[int]:
    """Read a text; gives the layers that recalled anything on the way."""
    recalled: set[int] = set()
    memory.read_ids(ids, on_pass=lambda _: recalled.update(each.layer for each in memory.reader.log))
    return recalled


def surprise_of(logits: Tensor, ids: list[int]) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[: len(ids) - 1], torch.tensor(ids[1:]), reduction="none")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_text_within_the_window_is_the_models_own_pass(kind: str, width: int, attn: str) -> None:
    model, text, question = sliding_model(kind, width, attn), text_ids(90), text_ids(20, seed=1)
    memory = EpisodicMemory(model, **SMALL | {"n_local": 128})
    assert not read_and_watch(memory, text)
    expected = full_logits(memory, text + question)
    with torch.inference_mode():
        unbounded = tiny_model("qwen3")(torch.tensor([text + question])).logits[0]
    assert not torch.allclose(expected, unbounded, atol=1e-2)  # the window of the model's own makes a difference here
    assert torch.allclose(memory.logits([question])[0], expected[-1], atol=1e-4, rtol=1e-5)
    assert torch.allclose(memory.reader.surprise[1:], surprise_of(expected, text), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("chunk", [3, 16])
def test_true_positions_with_everything_recalled_are_the_models_own_pass(kind: str, width: int, chunk: int) -> None:
    memory = EpisodicMemory(sliding_model(kind, width), **SMALL | {"positions": "true", "n_mem": 400, "chunk": chunk})
    text, question = text_ids(150), text_ids(11, seed=1)
    assert read_and_watch(memory, text) == full_layers(kind)
    assert memory.reader.past.events.evicted > 5
    expected = full_logits(memory, text + question)
    assert torch.allclose(memory.logits([question])[0], expected[-1], atol=1e-4, rtol=1e-5)
    assert torch.allclose(memory.reader.surprise[1:], surprise_of(expected, text), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("positions", ["paper", "compact"])
def test_sliding_layers_recall_nothing_and_keep_no_more_than_they_see(kind: str, width: int, positions: str) -> None:
    memory = EpisodicMemory(sliding_model(kind, width), **SMALL | {"positions": positions})
    most = [0] * LAYERS

    def watch(_: int) -> None:
        for layer, window in enumerate(memory.reader.windows):
            most[layer] = max(most[layer], window.key.shape[2])
        recalled.update(each.layer for each in memory.reader.log)

    recalled: set[int] = set()
    memory.read_ids(text_ids(400), on_pass=watch)
    assert recalled == full_layers(kind)
    # what was local before a chunk, the event that had not left whole, and the chunk itself
    kept = max(SMALL["n_local"] + SMALL["max_block"], width) + SMALL["chunk"]
    assert max(most) <= kept
    questions = [text_ids(length, seed=length) for length in (3, 21, 8)]
    together = memory.logits(questions)
    for row, question in enumerate(questions):
        assert torch.allclose(together[row], memory.logits([question])[0], atol=1e-4, rtol=1e-4)
    [answer] = memory.ask_all(["Who?"])
    assert {each.layer for each in answer.recalled} == full_layers(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_text_taken_up_from_files_goes_on_bit_for_bit(tmp_path: Path, kind: str, width: int) -> None:
    """Windows of sliding and other layers begin at different tokens."""
    files: list[Path] = []

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        files.append(tmp_path / f"{number}.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, files[-1])
        return files[-1]

    model, text, question = sliding_model(kind, width), text_ids(230), text_ids(9, seed=3)
    whole = EpisodicMemory(model, writer=write, **SMALL)
    whole.read_ids(text)
    whole.finish()
    expected = whole.logits([question])
    for kept in (1, len(files) // 2, len(files)):
        later = EpisodicMemory(model, **SMALL)
        later.restore(files[:kept])
        later.read_ids(text[len(later.reader.ids) :])
        assert torch.equal(later.logits([question]), expected)
        assert torch.equal(later.reader.surprise, whole.reader.surprise)
        assert later.reader.past.events.starts == whole.reader.past.events.starts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_full_attention_is_the_models_own_pass_too(kind: str, width: int) -> None:
    model, text = sliding_model(kind, width), text_ids(150)
    reading = FullAttention(model, chunk=16)
    reading.read_ids(text)
    with torch.inference_mode():
        expected = model.model(torch.tensor([text])).logits[0]
    assert torch.allclose(reading.surprise[1:], surprise_of(expected, text), atol=1e-4)


@pytest.mark.parametrize("method", ["modularity", "conductance"])
@pytest.mark.parametrize("kind", MIXED)
def test_refinement_looks_at_layers_with_memory(kind: str, method: str) -> None:
    model, text = sliding_model(kind, 20), text_ids(200)
    found = []
    for layers in (None, tuple(full_layers(kind))):
        memory = EpisodicMemory(model, **SMALL | {"refine": method, "refine_layers": layers})
        memory.read_ids(text)
        found.append([*memory.reader.past.events.starts, *memory.reader.past.events.pending])
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_refinement_without_a_layer_to_look_at_is_refused(kind: str) -> None:
    model, refined = sliding_model(kind, 20), SMALL | {"refine": "modularity"}
    for layer in set(range(LAYERS)) - full_layers(kind):
        with pytest.raises(InputError, match=f"refine_layers has {layer}"):
            EpisodicMemory(model, **refined, refine_layers=(layer,))
    with pytest.raises(InputError, match="refine"):
        EpisodicMemory(model, **refined, refine_layers=())


def test_a_window_as_wide_as_the_context_is_none() -> None:
    changes: dict[str, Any] = {"sliding_window": 8192}
    memory = EpisodicMemory(LoadedModel.wrap(tiny_model("phi3", **changes), tiny_tokenizer()), **SMALL)
    assert read_and_watch(memory, text_ids(120)) == set(range(LAYERS))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("family", ["mistral", "phi3", "starcoder2"])
def test_a_model_whose_layers_all_slide_takes_no_memory(family: str, width: int) -> None:
    changes: dict[str, Any] = {"sliding_window": width}
    model = LoadedModel.wrap(tiny_model(family, **changes), tiny_tokenizer())
    with pytest.raises(InputError, match=f"3 of 3 layers of a {family} model have a sliding window of their own"):
        EpisodicMemory(model, **SMALL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_full_attention_answers_as_the_model_does(kind: str, width: int) -> None:
    model, text, question = sliding_model(kind, width), text_ids(150), text_ids(9, seed=1)
    reading = FullAttention(model, chunk=16)
    reading.read_ids(text)
    ids = torch.tensor([text + question])
    with torch.inference_mode():
        made = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    expected = model.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).strip()
    assert reading.answer(question, 8) == expected
