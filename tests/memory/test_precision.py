"""Half precision and eight bits: how far memory may be from exact arithmetic, and that keeping adds nothing to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.codec import round_trip
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.load import LoadedModel
from tests.memory.test_exactness import SMALL, full_logits, text_ids
from tests.tiny import HEAD_DIM, tiny_loaded, tiny_model, tiny_tokenizer

SEEDS = range(3)
WITHIN = {"n_local": 128}
RECALLED = {"positions": "true", "n_mem": 400}


def surprise_of(logits: Tensor, ids: list[int]) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[: len(ids) - 1].float(), torch.tensor(ids[1:]), reduction="none")


def rms(parts: list[Tensor]) -> float:
    return float(torch.cat(parts).square().mean().sqrt())


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("settings", [WITHIN, RECALLED], ids=["within the window", "recalled"])
def test_rounding_costs_hardly_more_than_in_the_models_own_pass(
    family: str, dtype: torch.dtype, settings: dict[str, Any]
) -> None:
    """Against the same weights in float32, memory errs at most 1.5 times as much as the model's own pass.

    Both round what every product of a layer gives; memory, like transformers' eager attention, the scores before the
    softmax as well. One rounding more among a dozen of its size adds a few percent to their root mean square, and what
    three texts leave to chance is less than the rest.
    """
    own_surprise, own_logits, surprise, logits = [], [], [], []
    for seed in SEEDS:
        half, exact = tiny_model(family, seed, dtype), tiny_model(family, seed)
        exact.load_state_dict({name: tensor.float() for name, tensor in half.state_dict().items()})
        text, question = text_ids(100, seed), text_ids(20, seed=seed + 10)
        memory = EpisodicMemory(LoadedModel.wrap(half, tiny_tokenizer()), **SMALL | settings)
        memory.read_ids(text)
        assert (memory.reader.past.events.evicted > 5) == (settings is RECALLED)
        assert torch.isfinite(memory.reader.surprise).all()
        found = memory.logits([question])[0]
        assert found.dtype == memory.reader.surprise.dtype == torch.float32
        own = full_logits(memory, text + question).float()
        with torch.inference_mode():
            expected = exact(torch.tensor([text + question])).logits[0]
        own_surprise.append(surprise_of(own, text) - surprise_of(expected, text))
        surprise.append(memory.reader.surprise[1:] - surprise_of(expected, text))
        own_logits.append(own[-1] - expected[-1])
        logits.append(found - expected[-1])
    assert rms(surprise) <= 1.5 * rms(own_surprise)
    assert rms(logits) <= 1.5 * rms(own_logits)


@contextmanager
def rounded_keys_and_values(model: Any) -> Iterator[None]:
    """The model's own attention on keys and values that were eight bits: its projections' outputs are replaced."""

    def rounded(module: nn.Module, given: Any, out: Tensor) -> Tensor:
        return round_trip(out.view(*out.shape[:2], -1, HEAD_DIM)).view(out.shape)

    hooks = []
    for layer in model.model.layers:
        attention = layer.self_attn
        last = attention.k_norm if hasattr(attention, "k_norm") else attention.k_proj  # keys are kept behind the norm
        hooks += [each.register_forward_hook(rounded) for each in (last, attention.v_proj)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
@pytest.mark.parametrize("settings", [WITHIN, RECALLED], ids=["within the window", "recalled"])
def test_eight_bits_round_keys_and_values_and_nothing_else(family: str, settings: dict[str, Any]) -> None:
    """Equal to the model's own pass on rounded keys and values, and so to within their rounding to the exact one.

    A scale is below 2 / 127 of a row's largest entry, so an entry's error, uniform in half a scale, has a standard
    deviation below 2 / 127 / sqrt(12) = 0.5% of that; the largest of 16 entries is two to three standard deviations of
    them. That is about 1% noise in what each of three layers adds: 5% of the logits' spread leaves room for it to grow.
    """
    text, question = text_ids(100), text_ids(20, seed=1)
    memory = EpisodicMemory(tiny_loaded(family), **SMALL | settings, kv_dtype="int8")
    memory.read_ids(text)
    found = memory.logits([question])[0].cpu()
    exact = full_logits(memory, text + question)
    with rounded_keys_and_values(memory.model.model):
        rounded = full_logits(memory, text + question)
    spread = float(exact[-1].std())
    assert 1e-4 * spread < rms([rounded[-1] - exact[-1]]) < 0.05 * spread
    # a float32 rounding that tips one entry over to the next step of its scale moves a logit by about 1e-4
    assert torch.allclose(found, rounded[-1], atol=1e-3)
    assert torch.allclose(memory.reader.surprise[1:], surprise_of(rounded, text), atol=1e-3)


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe"])
@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
def test_answers_from_the_archive_are_those_before_it(tmp_path: Path, family: str, kv_dtype: str) -> None:
    """In bfloat16, whose eight bits of mantissa int8 has to come back to."""
    files: list[Path] = []

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        files.append(tmp_path / f"{number}.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, files[-1])
        return files[-1]

    model = LoadedModel.wrap(tiny_model(family, dtype=torch.bfloat16), tiny_tokenizer())
    text, question = text_ids(230), text_ids(9, seed=3)
    settings = SMALL | {"kv_dtype": kv_dtype, "n_local": 128, "n_mem": 48}
    plain = EpisodicMemory(model, **settings)
    plain.read_ids(text)
    assert plain.reader.past.events.evicted > 5
    written = EpisodicMemory(model, writer=write, **settings)
    written.read_ids(text)
    written.finish()
    opened = EpisodicMemory(model, **settings)
    opened.restore(files)
    how = SamplingParams(max_new_tokens=8)
    for memory in (written, opened):
        assert torch.equal(memory.logits([question]), plain.logits([question]))
        assert torch.equal(memory.reader.surprise, plain.reader.surprise)
        assert memory.ask_all(["Who worries?"], how) == plain.ask_all(["Who worries?"], how)
