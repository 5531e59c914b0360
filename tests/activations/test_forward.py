"""Shared prefixes and batches are an economy: each sequence run alone, whole, gives the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from pasctl.activations.extract import extract_head_outputs
from pasctl.activations.forward import run_plan
from pasctl.activations.plan import Batch, plan_tokens
from pasctl.models.load import LoadedModel
from pasctl.steering import Intervention, steer
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, HEAD_DIM, HEADS, HIDDEN, LAYERS, tiny_config, tiny_loaded, tiny_tokenizer

TOLERANCE = 2e-5


def some_sequences(shared: int = 12, count: int = 9) -> list[list[int]]:
    generator = np.random.default_rng(5)
    prefix = generator.integers(10, 400, shared).tolist()
    return [prefix + generator.integers(10, 400, 2 + row % 3).tolist() for row in range(count)]


def naive_head_outputs(model: LoadedModel, sequence: list[int]) -> Tensor:
    """The oracle: attention weights times values of every head, from an eager forward pass of one whole sequence."""
    captured: dict[int, Tensor] = {}
    handles = [
        o_proj.register_forward_hook(lambda module, args, output, layer=layer: captured.update({layer: args[0]}))
        for layer, o_proj in enumerate(model.outputs())
    ]
    try:
        with torch.inference_mode():
            model.model(torch.tensor([sequence], device=model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    rows = []
    for layer in range(LAYERS):
        flat = captured[layer][0, -1].cpu()
        rows.append(torch.stack([flat[head * HEAD_DIM : (head + 1) * HEAD_DIM] for head in range(HEADS)]))
    return torch.stack(rows)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_head_outputs_equal_those_of_each_sequence_alone(family: str, batch_tokens: int) -> None:
    model = tiny_loaded(family)
    given = some_sequences()
    extracted = extract_head_outputs(model, given, batch_tokens=batch_tokens)
    assert extracted.head_outputs.shape == (len(given), LAYERS, HEADS, HEAD_DIM)
    for found, sequence in zip(extracted.head_outputs, given, strict=True):
        torch.testing.assert_close(found, naive_head_outputs(model, sequence), atol=TOLERANCE, rtol=TOLERANCE)
    assert extracted.tokens_asked == sum(map(len, given))
    assert extracted.tokens_run == 12 + sum(len(sequence) - 12 for sequence in given)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shared", "batch_tokens"), [(0, 100_000), (12, 100_000), (12, 60), (300, 100_000)])
def test_head_outputs_of_forks_and_branches_equal_those_of_each_sequence_alone(
    family: str, shared: int, batch_tokens: int
) -> None:
    model = tiny_loaded(family)
    orders = [some_sequences(shared, count=1)[0][:shared] + [400 + order] * 60 for order in (0, 1)]
    given = [
        [*order, *stem[shared:], last] for stem in some_sequences(shared) for order in orders for last in (7, 8, 9)
    ]
    plan = plan_tokens(given, own_mask=True)
    assert len(plan.branches) == 2
    extracted = extract_head_outputs(model, given, batch_tokens=batch_tokens)
    for found, sequence in zip(extracted.head_outputs, given, strict=True):
        torch.testing.assert_close(found, naive_head_outputs(model, sequence), atol=TOLERANCE, rtol=TOLERANCE)
    assert extracted.tokens_run < extracted.tokens_asked / 4


def test_extraction_never_runs_lm_head_and_leaves_no_hook() -> None:
    model = tiny_loaded()
    called = []
    handle = model.lm_head.register_forward_hook(lambda *anything: called.append(1))
    extract_head_outputs(model, some_sequences(), batch_tokens=1000)
    handle.remove()
    assert not called
    assert not any(module._forward_pre_hooks for module in model.outputs())


@pytest.mark.parametrize("positions", ["all", "answer"])
@pytest.mark.parametrize(("shared", "packed"), [(0, False), (12, False), (300, False), (300, True)])
@pytest.mark.parametrize("family", FAMILIES)
def test_steered_hidden_states_equal_those_of_each_sequence_alone(
    family: str, positions: str, shared: int, packed: bool
) -> None:
    model = tiny_loaded(family)
    given = some_sequences(shared)
    intervention = random_intervention(9)
    found = torch.empty(len(given), HIDDEN)

    def consume(batch: Batch, hidden: Tensor) -> None:
        found[list(batch.rows)] = hidden.cpu()

    plan = plan_tokens(given, own_mask=packed and model.takes_masks)
    assert plan.packed == packed
    run_plan(model, plan, consume, intervention=intervention, positions=positions)
    for hidden, sequence in zip(found, given, strict=True):
        with steer(model, intervention, positions=positions), torch.inference_mode():
            alone = (
                model.backbone(torch.tensor([sequence], device=model.device), use_cache=False)
                .last_hidden_state[0, -1]
                .cpu()
            )
        torch.testing.assert_close(hidden, alone, atol=TOLERANCE, rtol=TOLERANCE)


def test_an_interrupted_plan_leaves_the_model_unsteered() -> None:
    model = tiny_loaded()
    plain = extract_head_outputs(model, some_sequences(), batch_tokens=1000).head_outputs

    def consume(batch: Batch, hidden: Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(
            model,
            plan_tokens(some_sequences()),
            consume,
            intervention=Intervention({0: torch.ones(1, HEADS * HEAD_DIM)}),
        )
    assert torch.equal(extract_head_outputs(model, some_sequences(), batch_tokens=1000).head_outputs, plain)


def test_eager_attention_packs_as_well() -> None:
    model = tiny_loaded()
    given = some_sequences(shared=300)
    plan = plan_tokens(given, own_mask=True)
    hidden: dict[str, Tensor] = {}
    for attn in ("sdpa", "eager"):
        model.model.set_attn_implementation(attn)
        model.attn = attn
        assert model.takes_masks
        hidden[attn] = torch.empty(len(given), HIDDEN)

        def consume(batch: Batch, last: Tensor, into: Tensor = hidden[attn]) -> None:
            into[list(batch.rows)] = last.cpu()

        run_plan(model, plan, consume)
    torch.testing.assert_close(hidden["sdpa"], hidden["eager"], atol=TOLERANCE, rtol=TOLERANCE)


def test_a_sliding_window_shorter_than_the_prefix_is_kept() -> None:
    config = tiny_config("mistral")
    config.sliding_window = 8
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    model = LoadedModel.wrap(network, tiny_tokenizer())
    assert not model.takes_masks
    given = some_sequences(shared=30)
    extracted = extract_head_outputs(model, given, batch_tokens=1000)
    for found, sequence in zip(extracted.head_outputs, given, strict=True):
        torch.testing.assert_close(found, naive_head_outputs(model, sequence), atol=TOLERANCE, rtol=TOLERANCE)
