"""Every family that a tiny model can be made of: sites, steering, extraction and prefixes, each against another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pasctl.activations.extract import extract_head_outputs
from pasctl.activations.forward import run_plan
from pasctl.activations.plan import Batch, plan_tokens
from pasctl.evaluation.statements import score_statements
from pasctl.models.adapters import ADAPTERS
from pasctl.models.load import LoadedModel, load_model
from pasctl.models.projection import output_shift
from pasctl.models.sites import RESIDUAL
from pasctl.steering import Intervention, steer
from pasctl.steering.bake import bake, bake_values
from tests.tiny import save_tiny, tiny_loaded
from tests.tiny_configs import EVERY_FAMILY

TOLERANCE = 3e-5
LONGER_THAN_A_WINDOW = 40  # the tiny models' sliding windows have 24 tokens
BAKED = [family for family in EVERY_FAMILY if family in ADAPTERS and ADAPTERS[family].bias_switch]


@pytest.fixture(scope="module", params=EVERY_FAMILY)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return tiny_loaded(request.param)


def sequences(count: int = 5) -> list[list[int]]:
    generator = np.random.default_rng(5)
    prefix = generator.integers(10, 400, LONGER_THAN_A_WINDOW).tolist()
    return [prefix + generator.integers(10, 400, 2 + row % 3).tolist() for row in range(count)]


def moved(model: LoadedModel, kind: str, rows: int = 1) -> Intervention:
    """A displacement of all heads of every second site of a kind."""
    geometry = model.geometry.at(kind)
    generator = torch.Generator().manual_seed(3)
    places = range(0, geometry.layers, 2)
    return Intervention({each: 0.5 * torch.randn(rows, geometry.width, generator=generator) for each in places}, kind)


@torch.inference_mode()
def alone(model: LoadedModel, sequence: list[int], steered: Intervention | None = None, where: str = "all") -> Tensor:
    """Last hidden state [hidden] of a sequence by itself, in one pass without a cache."""
    with steer(model, steered, positions=where):
        out = model.backbone(torch.tensor([sequence], device=model.device), use_cache=False)
    return out.last_hidden_state[0, -1].cpu()


def hooked(model: LoadedModel, kind: str, sequence: list[int]) -> Tensor:
    """What plain hooks see at the last token at every site of a kind [L, H * D]."""
    seen: list[Tensor] = []

    def keep(_module: object, given: tuple[Tensor, ...], out: Tensor | tuple[Tensor, ...]) -> None:
        whole = (out if isinstance(out, Tensor) else out[0]) if kind == RESIDUAL else given[0]
        seen.append(whole[0, -1])

    handles = [module.register_forward_hook(keep) for module in model.outputs(kind)]
    alone(model, sequence)
    for handle in handles:
        handle.remove()
    return torch.stack(seen)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=TOLERANCE * float(expected.abs().max()), rtol=TOLERANCE)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_loaded_folder_is_proven_and_has_the_sites_of_its_config(family: str, tmp_path: Path) -> None:
    loaded = load_model(str(save_tiny(tmp_path, family)), dtype="float32", device="cpu")
    report, geometry, config = loaded.report, loaded.geometry, loaded.config
    assert report is not None
    assert max(report.logits, report.prefix, *report.shifts.values()) < 1e-5
    assert report.masks
    assert (geometry.heads, geometry.hidden) == (config.num_attention_heads, config.hidden_size)
    attended = [kind for kind in geometry.kinds if kind != RESIDUAL]
    numbers = [number for kind in attended for number in geometry.at(kind).places]
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    assert sorted(numbers) == [number for number, kind in enumerate(types) if kind != "conv"]
    assert geometry.at(RESIDUAL).places == tuple(range(config.num_hidden_layers))


def test_a_shifted_head_is_a_bias_of_its_projection(model: LoadedModel) -> None:
    ids = sequences(1)[0]
    plain = alone(model, ids)
    for kind in (kind for kind in model.geometry.kinds if kind != RESIDUAL):
        place, shift = next(iter(moved(model, kind).displacements.items()))
        steered = alone(model, ids, Intervention({place: shift}, kind))
        projection = model.outputs(kind)[place]
        before = projection.bias
        added = output_shift(projection, shift)[0] + (0 if before is None else before)
        projection.bias = torch.nn.Parameter(added, requires_grad=False)
        try:
            close(steered, alone(model, ids))
        finally:
            projection.bias = before
        assert (steered - plain).abs().max() > 1e-3
        assert torch.equal(alone(model, ids, Intervention({place: 0 * shift}, kind)), plain)


def test_the_residual_stream_shifted_behind_a_layer_is_what_the_next_layer_reads(model: LoadedModel) -> None:
    ids, place = sequences(1)[0], 1
    shift = moved(model, RESIDUAL).displacements[0]
    layers = model.outputs(RESIDUAL)

    def add(_module: object, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (given[0] + shift[0].to(given[0]), *given[1:])

    handle = layers[place + 1].register_forward_pre_hook(add)
    expected = alone(model, ids)
    handle.remove()
    close(alone(model, ids, Intervention({place: shift}, RESIDUAL)), expected)


@pytest.mark.parametrize("batch_tokens", [60, 10_000])
def test_what_is_read_equals_plain_hooks_on_each_sequence_alone(model: LoadedModel, batch_tokens: int) -> None:
    for kind in model.geometry.kinds:
        read = extract_head_outputs(model, sequences(), batch_tokens=batch_tokens, kind=kind).head_outputs
        for sequence, found in zip(sequences(), read, strict=True):
            close(found, hooked(model, kind, sequence).view(found.shape))


@pytest.mark.parametrize("where", ["all", "answer"])
def test_prefixes_and_batches_change_nothing_that_is_steered(model: LoadedModel, where: str) -> None:
    given, hidden = sequences(), model.geometry.hidden
    for kind in model.geometry.kinds:
        steered = moved(model, kind)
        found = torch.empty(len(given), hidden)

        def consume(batch: Batch, states: Tensor, found: Tensor = found) -> None:
            found[list(batch.rows)] = states.cpu()

        plan = plan_tokens(given, own_mask=model.takes_masks)
        run_plan(model, plan, consume, intervention=steered, positions=where)
        assert plan.tokens_run < sum(map(len, given))
        for states, sequence in zip(found, given, strict=True):
            close(states, alone(model, sequence, steered, where))


@torch.inference_mode()
def test_a_row_in_a_padded_batch_is_steered_as_it_is_alone(model: LoadedModel) -> None:
    given = sequences(3)
    longest = max(map(len, given))
    mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in given])
    ids = torch.tensor([each + [1] * (longest - len(each)) for each in given])
    steered = moved(model, model.geometry.kind)
    with steer(model, steered, positions="answer"):
        states = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    for row, sequence in enumerate(given):
        close(states[row, len(sequence) - 1], model.logits(alone(model, sequence, steered, "answer")))


@torch.inference_mode()
def test_statements_have_the_log_probabilities_of_each_alone(model: LoadedModel) -> None:
    prompts = [each[:-1] for each in sequences(2)]
    statements = [[20, 30, 40], [20, 35], [21, 50, 60, 70]]
    steered = moved(model, model.geometry.kind)
    scores = score_statements(model, prompts, statements, batch_tokens=10_000, interventions=[steered])
    for row, prompt in enumerate(prompts):
        for place, statement in enumerate(statements):
            with steer(model, steered):
                logits = model.model(input_ids=torch.tensor([[*prompt, *statement]]), use_cache=False).logits[0]
            each = logits.float().log_softmax(-1)[len(prompt) - 1 : -1]
            expected = each.gather(-1, torch.tensor(statement)[:, None])[:, 0]
            found = torch.from_numpy(scores.logprobs[0, row, place, : len(statement)])
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", BAKED)
def test_a_steered_model_of_a_family_with_a_row_is_baked_exactly(family: str, tmp_path: Path) -> None:
    plain, ids = tiny_loaded(family), sequences(1)[0]
    steered = moved(plain, plain.geometry.kind)
    bake(plain, steered, tmp_path)
    close(alone(load_model(str(tmp_path), dtype="float32", device="cpu"), ids), alone(plain, ids, steered))


@pytest.mark.parametrize("family", [family for family in BAKED if ADAPTERS[family].exact_values])
def test_values_of_a_family_with_exact_values_carry_what_a_group_shares(family: str, tmp_path: Path) -> None:
    plain, ids = tiny_loaded(family), sequences(1)[0]
    geometry = plain.geometry
    shared = torch.randn(geometry.kv_heads, 1, geometry.head_dim, generator=torch.Generator().manual_seed(4))
    shift = shared.expand(-1, geometry.heads // geometry.kv_heads, -1).reshape(1, geometry.width)
    steered = Intervention({1: 0.5 * shift})
    bake_values(plain, steered, tmp_path)
    close(alone(load_model(str(tmp_path), dtype="float32", device="cpu"), ids), alone(plain, ids, steered))
