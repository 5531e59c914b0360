"""Presses of kvpress: full attention when nothing is dropped, kvpress's own hooks otherwise, and true positions."""

from __future__ import annotations

import importlib
import inspect
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import pasctl
from pasctl.errors import InputError
from pasctl.generation.loop import generate, next_logits
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory import pressed
from pasctl.memory.full import FullAttention
from pasctl.memory.params import MemoryParams
from pasctl.memory.press_kinds import PRESSABLE, PRESSES
from pasctl.memory.pressed import PressedText, compression_ratio
from pasctl.memory.systems import Asked, ask_system
from pasctl.models.load import LoadedModel
from pasctl.report.blocks import Table
from pasctl.report.sections.trials import trials
from pasctl.stages.memory_eval import trial_figures
from tests.memory.test_exactness import text_ids
from tests.tiny import HEAD_DIM, KV_HEADS, LAYERS, tiny_loaded

if find_spec("kvpress") is None:
    pytest.skip("needs kvpress: make test-kvpress", allow_module_level=True)

PAIRS = [
    (family, name)
    for family in PRESSABLE
    for name, kind in PRESSES.items()
    if family != "phi3" or not kind.by_queries  # the tiny one rotates a part of a head
]
BUDGET = 90


def read(model: LoadedModel, name: str, ids: list[int], budget: int = BUDGET) -> PressedText:
    reading = PressedText(model, name, budget)
    reading.read_ids(ids)
    return reading


def full(model: LoadedModel, ids: list[int]) -> FullAttention:
    reading = FullAttention(model, chunk=len(ids))
    reading.read_ids(ids)
    return reading


def written(reading: Any, question: list[int], count: int = 24) -> list[int]:
    how = SamplingParams(max_new_tokens=count)
    [stream] = generate(reading.model, [Request(question, how, memory=reading)])
    return list(stream.tokens)


def tensors(cache: Any) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_a_text_within_the_budget_is_answered_as_by_full_attention(family: str, name: str) -> None:
    model, ids, question = tiny_loaded(family), text_ids(BUDGET), text_ids(9, seed=1)
    reading = read(model, name, ids)
    assert reading.tokens_by_layer == [BUDGET] * LAYERS
    for _ in range(2):  # it may be asked again
        assert written(reading, question) == written(full(model, ids), question)


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_every_layer_holds_what_kvpresss_own_hooks_leave(family: str, name: str) -> None:
    model, ids = tiny_loaded(family), text_ids(250)
    reading = read(model, name, ids)
    assert reading.tokens_by_layer == [BUDGET] * LAYERS
    if "past_key_values" not in inspect.signature(model.backbone.forward).parameters:
        pytest.skip("kvpress's hooks do not run on this transformers")
    cache = DynamicCache(config=model.model.config)
    press = pressed._press_class(name)(compression_ratio=compression_ratio(len(ids), BUDGET))
    given = {"cache_position": torch.arange(len(ids)), "past_key_values": cache}
    with torch.inference_mode(), press(model.model):
        model.backbone(input_ids=torch.tensor([ids], device=model.device), **given)
    for (keys, values), (own_keys, own_values) in zip(tensors(reading._cache), tensors(cache), strict=True):
        assert torch.equal(keys, own_keys)
        assert torch.equal(values, own_values)


def test_knorm_keeps_the_keys_of_least_norm_in_each_head_of_each_layer() -> None:
    model, ids = tiny_loaded("qwen3"), text_ids(200)
    whole = tensors(full(model, ids)._cache)
    for (kept, _), (keys, _) in zip(tensors(read(model, "press-knorm", ids)._cache), whole, strict=True):
        for head in range(KV_HEADS):
            norms = keys[0, head].norm(dim=-1).sort().values[:BUDGET]
            assert torch.allclose(kept[0, head].norm(dim=-1).sort().values, norms, atol=1e-5)


@pytest.mark.parametrize("family", PRESSABLE)
def test_the_question_stands_at_its_true_position(family: str) -> None:
    """StreamingLLM keeps the same tokens everywhere, so a mask of the model's own pass drops them too."""
    model, ids, question = tiny_loaded(family), text_ids(230), text_ids(7, seed=1)
    reading = read(model, "press-streaming-llm", ids)
    total = len(ids) + len(question)
    seen = torch.ones(total, total, dtype=torch.bool).tril()
    seen[len(ids) :, 4 : 4 + len(ids) - BUDGET] = False
    mask = torch.zeros(total, total).masked_fill(~seen, -torch.inf)[None, None].to(model.device)
    with torch.inference_mode():
        given = torch.tensor([ids + question], device=model.device)
        expected = model.model(given, attention_mask=mask).logits[0, -1].cpu()
    logits = next_logits(model, Request(question, SamplingParams(), memory=reading))[0].cpu()
    assert torch.allclose(logits, expected, atol=1e-4)
    compact = PressedText(model, "press-streaming-llm", BUDGET)
    compact._cache, compact.ids = reading._cache, ids[:BUDGET]  # as if the cache's length were the text's
    other = next_logits(model, Request(question, SamplingParams(), memory=compact))[0].cpu()
    assert not torch.allclose(other, expected, atol=1e-3)


def test_model_and_transformers_are_left_as_they_were() -> None:
    model, ids, question = tiny_loaded("llama"), text_ids(200), text_ids(9, seed=1)
    modules, functions = [name for name, _ in model.model.named_modules()], dict(ALL_ATTENTION_FUNCTIONS.items())
    before = written(full(model, ids), question)
    pressed._press_class.cache_clear()
    read(model, "press-expected-attention", ids)
    assert [name for name, _ in model.model.named_modules()] == modules
    assert dict(ALL_ATTENTION_FUNCTIONS.items()) == functions
    assert not any(attention._forward_hooks for attention in model.attentions().values())
    assert "kvpress" not in sys.modules
    assert importlib.util.find_spec("kvpress") is not None
    assert written(full(model, ids), question) == before


def test_a_text_is_read_once() -> None:
    reading = read(tiny_loaded(), "press-knorm", text_ids(120))
    with pytest.raises(InputError, match="one was read before"):
        reading.read_ids([7, 8])


@pytest.mark.parametrize("name", PRESSES)
def test_a_press_holds_and_attends_as_many_tokens_as_the_memory_may(name: str) -> None:
    params = MemoryParams(n_init=8, n_local=64, n_mem=24, chunk=16, min_block=4, max_block=12)
    asked = Asked("I worry about things. Vivid imagination. " * 60, "What do I worry about?", max_new_tokens=3)
    reply = ask_system(tiny_loaded(), asked, name, params)
    assert reply.tokens > 300
    assert reply.attended == 8 + 64 + 24
    assert reply.held_bytes == 2 * (8 + 64 + 24) * LAYERS * KV_HEADS * HEAD_DIM * 4
    assert (reply.events, reply.recall) == (None, None)


def test_trials_of_presses_are_kept_and_stand_in_the_report(tiny_folder: Path, tmp_path: Path) -> None:
    sizes = {"n_init": 8, "n_local": 160, "n_mem": 48, "chunk": 32, "min_block": 4, "max_block": 12}
    options, store = pasctl.ModelOptions(dtype="float32", device="cpu"), tmp_path / "store"

    def run(*compare: str, **changes: float) -> Any:
        tasks = {"tasks": ("passkey",), "lengths": (1500,), "trials": 1, "max_new_tokens": 3, "compare": compare}
        made = pasctl.memory_eval(str(tiny_folder), params=sizes | changes, options=options, store=store, **tasks)
        return made.artifact

    plain, pair = run(), run("press-snapkv", "press-expected-attention")
    assert pair.provenance["counts"] == {"trials": 3, "trials_reused": 1, "tokens_run": 3000}
    assert pair.document["numerics"]["kvpress"] == version("kvpress")
    assert "kvpress" not in plain.document["numerics"]
    assert run("press-knorm", "press-snapkv").provenance["counts"]["trials_reused"] == 2
    assert run("press-knorm", gamma=2.0).provenance["counts"]["trials_reused"] == 1  # a press cuts no events
    assert run("press-knorm", n_mem=60).provenance["counts"]["trials_reused"] == 0
    figures = trial_figures(pair.read_json("trials.json"), pair.provenance["costs"])
    rows = {row["system"]: row for row in figures["tasks"]}
    assert set(rows) == {"memory", "press-snapkv", "press-expected-attention"}
    assert rows["press-snapkv"]["attended_tokens"] == 216
    assert rows["press-snapkv"]["held_bytes"] / 216 == rows["memory"]["held_bytes"] / rows["memory"]["tokens"]
    [_, table, *_] = [block for block in trials(figures, costs_known=True).blocks if isinstance(block, Table)]
    assert [cells[1].text for cells in table.rows] == ["memory", "SnapKV press", "ExpectedAttention press"]
