"""A model whose memory path is not the model is refused, and all others are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import transformers
from torch import Tensor

import pasctl
from pasctl.errors import InputError
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.events import Events
from pasctl.memory.proof import TOKENS, TOLERANCE, prove_memory, require_memory
from pasctl.memory.recall import ForwardPass
from pasctl.models import adapters
from pasctl.models.adapters import ADAPTERS, Adapter
from pasctl.models.attention import _attention
from pasctl.models.load import LoadedModel
from tests.tiny import (
    FAMILIES,
    HEAD_DIM,
    SHAPE,
    tiny_loaded,
    tiny_model,
    tiny_tokenizer,
)

OTHERS: dict[str, tuple[str, dict[str, Any], str]] = {
    # what memory does not do -> family's config, what is special in it, and what the refusal says
    "gpt_oss": ("GptOssConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}, "s_aux"),
    "gemma2": ("Gemma2Config", {"query_pre_attn_scalar": HEAD_DIM}, "softcap"),
    "ernie4_5": ("Ernie4_5Config", {}, "differs from the model by"),
    "cohere2": ("Cohere2Config", {}, "differs from the model by"),
    "hunyuan_v1_dense": ("HunYuanDenseV1Config", {}, "differs from the model by"),
    "nanochat": ("NanoChatConfig", {}, "differs from the model by"),
    "smollm3": ("SmolLM3Config", {"no_rope_layer_interval": 2}, "differs from the model by"),
    "glm": ("GlmConfig", {}, "rotates 8 of the 16 components"),
    "gemma3_text": ("Gemma3TextConfig", {"query_pre_attn_scalar": HEAD_DIM}, "rotary_emb"),
}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows for these families, as another package would add them."""
    monkeypatch.setattr(adapters, "ADAPTERS", {**ADAPTERS, **{family: Adapter(family) for family in OTHERS}})


def other_model(family: str) -> Any:
    name, special, _ = OTHERS[family]
    config = getattr(transformers, name)(**{**SHAPE, "num_hidden_layers": 4, **special})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in part else 0.15 * noise)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("family", OTHERS)
def test_a_family_that_memory_gets_wrong_is_refused_in_one_line(family: str, rows: None) -> None:
    loaded = LoadedModel.wrap(other_model(family), tiny_tokenizer())
    with pytest.raises(InputError, match=OTHERS[family][2]) as refused:
        EpisodicMemory(loaded)
    assert family.removesuffix("_text") in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


def test_a_refused_model_makes_no_memory(rows: None, tmp_path: Path) -> None:
    folder = tmp_path / "hunyuan"
    other_model("hunyuan_v1_dense").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    options = pasctl.ModelOptions(dtype="float32")
    with pytest.raises(InputError, match="cannot have a memory"):
        pasctl.memory_run(str(folder), [pasctl.Text("text", "Words. " * 40)], options=options, store=tmp_path / "store")
    assert list(pasctl.Store(tmp_path / "store").candidates("memory")) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_supported_families_pass_in_float32(family: str) -> None:
    proof = require_memory(tiny_loaded(family))
    assert proof.error < proof.tolerance / 50
    assert proof.tokens == 2 * TOKENS


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_supported_families_pass_in_half_precision(family: str, dtype: torch.dtype) -> None:
    for seed in range(3):
        proof = require_memory(LoadedModel.wrap(tiny_model(family, seed, dtype), tiny_tokenizer()))
        assert proof.error < 0.75 * proof.tolerance


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["ernie4_5", "cohere2", "hunyuan_v1_dense", "nanochat", "smollm3"])
def test_wrong_families_are_refused_in_half_precision_too(family: str, dtype: torch.dtype, rows: None) -> None:
    proof = prove_memory(LoadedModel.wrap(other_model(family).to(dtype), tiny_tokenizer()))
    assert proof.error > 2 * proof.tolerance


@pytest.mark.parametrize("size", [3.0, 20.0])
def test_large_key_biases_are_no_fault_in_half_precision(size: float) -> None:
    """Qwen2's keys have biases of norm 600 to 900; with scores in bfloat16 nothing of the attention is left."""
    model = tiny_model("qwen2", 0, torch.bfloat16)
    attention = cast(Any, model).model.layers[0].self_attn
    for projection, bias in ((attention.k_proj, 300.0), (attention.q_proj, size)):
        with torch.no_grad():
            projection.bias.view(-1, HEAD_DIM)[:, [6, 7, 14, 15]] = bias  # the slowest frequencies
    proof = prove_memory(LoadedModel.wrap(model, tiny_tokenizer()))
    assert proof.holds


def test_rounding_that_is_the_models_own_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tolerance that no rounding keeps, the model's own attention is measured, and says what is its own."""
    monkeypatch.setitem(TOLERANCE, "bfloat16", 1e-6)
    proof = require_memory(LoadedModel.wrap(tiny_model("llama", 0, torch.bfloat16), tiny_tokenizer()))
    assert 1e-3 < proof.error < proof.tolerance < 0.1
    assert proof.tokens == 3 * TOKENS


@pytest.mark.parametrize("window", [5, 16])
def test_a_sliding_window_of_the_models_own_passes(window: int) -> None:
    changes: dict[str, Any] = {"sliding_window": window}
    require_memory(LoadedModel.wrap(tiny_model("mistral", **changes), tiny_tokenizer()))


@pytest.mark.parametrize("fault", ["nothing is retrieved", "at another place", "in another order"])
def test_the_proof_sees_a_fault_that_only_retrieved_events_have(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "nothing is retrieved":
        monkeypatch.setattr(Events, "recall", lambda events, layer, query, queues, **_: [([], []) for _ in queues])
    elif fault == "at another place":
        positions = ForwardPass._positions
        monkeypatch.setattr(ForwardPass, "_positions", lambda step, events: positions(step, events) + 1)
    else:
        row = ForwardPass._row
        monkeypatch.setattr(ForwardPass, "_row", lambda step, layer, events: row(step, layer, events[::-1]))
    assert not prove_memory(tiny_loaded()).holds


def test_a_model_is_proven_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, passes = tiny_loaded(), list[int]()
    loaded.backbone.register_forward_hook(lambda *_: passes.append(1))
    first = EpisodicMemory(loaded)
    assert passes
    passes.clear()
    assert EpisodicMemory(loaded).proof is first.proof
    assert not passes


def test_the_proof_leaves_the_model_as_it_was() -> None:
    loaded = tiny_loaded()
    before = loaded.model.config._attn_implementation
    prove_memory(loaded)
    assert loaded.model.config._attn_implementation == before == "sdpa"


class _Recording:
    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: Any) -> Tensor:
        return query


def attend(**arguments: Any) -> Any:
    module = cast(Any, SimpleNamespace(layer_idx=0, config=SimpleNamespace(model_type="odd")))
    x = torch.zeros(1, 2, 3, 4)
    given = {"attention_mask": None, "scaling": 0.5, "attender": _Recording(), **arguments}
    return _attention(module, x, x, x, given.pop("attention_mask"), **given)


@pytest.mark.parametrize(
    "arguments",
    [
        {"s_aux": torch.zeros(2)},
        {"softcap": 50.0},
        {"position_bias": torch.zeros(3)},
        {"attention_mask": torch.ones(1, 1, 3, 3)},
        {"indices": torch.zeros(3)},
        {"is_causal": False},
        {"dropout": 0.1},
        {"use_cache": True},
        {"output_attentions": True},
        {"something_new": 0},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_an_argument_that_would_be_left_out_is_refused_by_name(arguments: dict[str, Any]) -> None:
    [name] = arguments
    with pytest.raises(InputError, match=f"odd model gives its attention {name}=") as refused:
        attend(**arguments)
    assert "\n" not in refused.value.message


def test_arguments_that_say_nothing_pass() -> None:
    attend(s_aux=None, softcap=None, something_new=None, dropout=0.0, is_causal=True, use_cache=False)
    attend(position_ids=torch.zeros(1, 3), cache_position=torch.arange(3), output_attentions=False, sliding_window=4)


def test_a_model_that_hands_no_arguments_on_is_refused() -> None:
    with pytest.raises(InputError, match="hands its attention no keyword arguments"):
        attend(attender=None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
