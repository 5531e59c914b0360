"""A model whose memory path is not the model is refused, and all others are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

import pasctl
from pasctl.errors import InputError
from pasctl.memory.attention_layers import _MEASURED, attention_layers
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.events import Events
from pasctl.memory.proof import TOKENS, TOLERANCE, prove_memory, require_memory
from pasctl.memory.recall import ForwardPass
from pasctl.memory.rotary import Rotation
from pasctl.models.attention import Scoring, _attention, run_backbone
from pasctl.models.load import LoadedModel
from tests.tiny import (
    FAMILIES,
    HEAD_DIM,
    save_tiny,
    tiny_loaded,
    tiny_model,
    tiny_tokenizer,
)

REFUSED: dict[str, str] = {
    # what memory does not do, and what the refusal says
    "deepseek_v3": "latent keys (MLA)",
    "minicpm3": "latent keys (MLA)",
}


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_memory_cannot_have_is_refused_in_one_line(family: str) -> None:
    with pytest.raises(InputError, match=re.escape(REFUSED[family])) as refused:
        EpisodicMemory(tiny_loaded(family))
    assert family in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


def test_a_refused_model_makes_no_memory(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "latent", "deepseek_v3")
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


FAULTS: dict[str, tuple[str, Callable[[Rotation], Rotation]]] = {
    "the other pairs of components": ("ernie4_5", lambda rotation: replace(rotation, interleaved=False)),
    "the other way round": ("nanochat", lambda rotation: replace(rotation, frequencies=-rotation.frequencies)),
    "no norm behind it": ("hunyuan_v1_dense", lambda rotation: replace(rotation, query_weight=None, key_weight=None)),
    "half of the components": ("qwen3", lambda rotation: replace(rotation, frequencies=rotation.frequencies[:4])),
    "another base": ("gemma3_text", lambda rotation: replace(rotation, frequencies=rotation.frequencies**1.5)),
    "where it rotates nothing": ("smollm3", lambda rotation: replace(rotation, frequencies=torch.ones(8).double())),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_proof_sees_a_rotation_that_is_not_the_models(
    fault: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, change = FAULTS[fault]
    model = LoadedModel.wrap(tiny_model(family, 0, dtype), tiny_tokenizer())
    measured = attention_layers(model)
    wrong = tuple(replace(layer, rotation=change(layer.rotation)) for layer in measured.layers)
    monkeypatch.setitem(_MEASURED, model, replace(measured, layers=wrong))
    proof = prove_memory(model)
    assert proof.error > 2 * proof.tolerance


@pytest.mark.parametrize("left_out", ["sinks", "softcap"])
def test_the_proof_sees_what_is_left_out_of_the_softmax(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attend, changes = ForwardPass.attend, cast(dict[str, Any], {left_out: None})
    monkeypatch.setattr(
        ForwardPass, "attend", lambda step, *given: attend(step, *given[:-1], replace(given[-1], **changes))
    )
    assert not prove_memory(tiny_loaded({"sinks": "gpt_oss", "softcap": "gemma2"}[left_out])).holds


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
    proof = require_memory(LoadedModel.wrap(tiny_model("qwen2", 0, torch.bfloat16), tiny_tokenizer()))
    assert 1e-3 < proof.error < proof.tolerance < 0.1
    assert proof.tokens == 3 * TOKENS


@pytest.mark.parametrize(
    ("family", "dtype"),
    [("mixtral", torch.float16), ("granitemoe", torch.bfloat16), ("qwen3_5_moe_text", torch.bfloat16)],
)
def test_experts_that_are_chosen_by_a_hair_are_no_fault(family: str, dtype: torch.dtype) -> None:
    """torch's fused attention and transformers' plain one choose other experts here; memory is as the plain one."""
    proof = require_memory(LoadedModel.wrap(tiny_model(family, 0, dtype), tiny_tokenizer()))
    assert proof.tokens in (2 * TOKENS, 3 * TOKENS)  # some versions of transformers choose the same ones
    assert proof.tolerance == TOLERANCE[str(dtype).removeprefix("torch.")]


@pytest.mark.parametrize("window", [5, 16])
def test_a_sliding_window_of_the_models_own_passes(window: int) -> None:
    changes: dict[str, Any] = {"sliding_window": window, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]}
    require_memory(LoadedModel.wrap(tiny_model("ministral", **changes), tiny_tokenizer()))


@pytest.mark.parametrize("fault", ["nothing is retrieved", "at another place", "in another order"])
def test_the_proof_sees_a_fault_that_only_retrieved_events_have(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "nothing is retrieved":
        monkeypatch.setattr(Events, "recall", lambda *given, **named: ([], [], []))
    elif fault == "at another place":
        positions = ForwardPass._positions
        monkeypatch.setattr(ForwardPass, "_positions", lambda step, events: positions(step, events) + 1)
    else:
        read = ForwardPass._read
        monkeypatch.setattr(ForwardPass, "_read", lambda step, layer, events: read(step, layer, events[::-1]))
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
    def __init__(self) -> None:
        self.scoring: list[Scoring] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        self.scoring.append(scoring)
        return query


class _OddModel:
    """A model of one layer that gives its attention some arguments."""

    device = "cpu"

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = {"attention_mask": None, "scaling": 0.5, **arguments}

    @property
    def backbone(self) -> Any:
        def run(**_: Any) -> Any:
            return self._run()

        run.forward = run  # type: ignore[attr-defined]
        return run

    def _run(self) -> Any:
        module = cast(Any, SimpleNamespace(layer_idx=0, config=SimpleNamespace(model_type="odd")))
        x, given = torch.zeros(1, 2, 3, 4), dict(self._arguments)
        out, _weights = _attention(module, x, x, x, given.pop("attention_mask"), **given)
        return SimpleNamespace(last_hidden_state=out)


def attend(**arguments: Any) -> Scoring:
    recording = _Recording()
    run_backbone(cast(Any, _OddModel(arguments)), torch.zeros(1, 3, dtype=torch.int64), recording)
    [scoring] = recording.scoring
    return scoring


@pytest.mark.parametrize(
    "arguments",
    [
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


def test_window_softcap_and_sinks_are_handed_on() -> None:
    sinks = torch.zeros(2)
    scoring = attend(sliding_window=7, softcap=50.0, s_aux=sinks)
    assert (scoring.scaling, scoring.sliding, scoring.softcap) == (0.5, 7, 50.0)
    assert scoring.sinks is sinks


def test_nothing_attends_outside_a_run() -> None:
    attend()
    with pytest.raises(RuntimeError, match="outside run_backbone"):
        _OddModel({}).backbone()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
