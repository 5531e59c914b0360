"""Steering at o_proj's output is what the paper does to the head outputs, for one row or many, and it goes again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel
from pasctl.steering import Intervention, steer
from tests.tiny import FAMILIES, HEAD_DIM, HEADS, LAYERS, tiny_loaded

WIDTH = HEADS * HEAD_DIM
TOLERANCE = 1e-5


def random_intervention(seed: int, layers: tuple[int, ...] = (0, 2)) -> Intervention:
    generator = torch.Generator().manual_seed(seed)
    return Intervention({layer: torch.randn(1, WIDTH, generator=generator) for layer in layers})


def logits(model: LoadedModel, ids: Tensor) -> Tensor:
    with torch.inference_mode():
        return model.model(ids.to(model.device), use_cache=False).logits.cpu()


def displaced_head_outputs(model: LoadedModel, ids: Tensor, displacements: dict[int, Tensor], mask: Tensor) -> Tensor:
    """The oracle: add the displacement to o_proj's input itself where mask [T] is true."""
    handles = []
    for layer, displacement in displacements.items():

        def hook(module: object, args: tuple[Tensor, ...], displacement: Tensor = displacement) -> tuple[Tensor]:
            moved = mask[None, :, None] * displacement[:, None, :]
            return (args[0] + moved.to(args[0].device),)

        handles.append(model.outputs()[layer].register_forward_pre_hook(hook))
    try:
        return logits(model, ids)
    finally:
        for handle in handles:
            handle.remove()


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return tiny_loaded(request.param)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(10, 400, (3, 11), generator=torch.Generator().manual_seed(1))


def test_adding_after_o_proj_equals_adding_to_the_head_outputs(model: LoadedModel, ids: Tensor) -> None:
    intervention = random_intervention(0)
    expected = displaced_head_outputs(model, ids, dict(intervention.displacements), torch.ones(11))
    with steer(model, intervention):
        steered = logits(model, ids)
    torch.testing.assert_close(steered, expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert (steered - logits(model, ids)).abs().max() > 0.1


def test_answer_positions_displace_the_last_token_alone(model: LoadedModel, ids: Tensor) -> None:
    intervention = random_intervention(1)
    mask = torch.zeros(11)
    mask[-1] = 1
    expected = displaced_head_outputs(model, ids, dict(intervention.displacements), mask)
    plain = logits(model, ids)
    with steer(model, intervention, positions="answer"):
        steered = logits(model, ids)
    torch.testing.assert_close(steered, expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert torch.equal(steered[:, :-1], plain[:, :-1])
    assert not torch.allclose(steered[:, -1], plain[:, -1])


def test_any_positions_can_be_named(model: LoadedModel, ids: Tensor) -> None:
    intervention = random_intervention(11)
    chosen = torch.tensor([2, 7])
    mask = torch.zeros(11)
    mask[chosen] = 1
    expected = displaced_head_outputs(model, ids, dict(intervention.displacements), mask)
    with steer(model, intervention, positions=chosen):
        torch.testing.assert_close(logits(model, ids), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_each_row_gets_its_own_displacement(model: LoadedModel, ids: Tensor) -> None:
    parts = [random_intervention(2, (0,)), None, random_intervention(3, (1, 2))]
    with steer(model, Intervention.stack(parts)):
        together = logits(model, ids)
    for row, part in enumerate(parts):
        with steer(model, part):
            alone = logits(model, ids[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=TOLERANCE, rtol=TOLERANCE)


def test_hooks_go_when_the_body_raises(ids: Tensor) -> None:
    model = tiny_loaded()
    plain = logits(model, ids)
    with pytest.raises(RuntimeError, match="on purpose"), steer(model, random_intervention(4)):
        raise RuntimeError("on purpose")
    assert torch.equal(logits(model, ids), plain)
    assert not any(module._forward_hooks for module in model.outputs())


def test_hooks_go_when_a_later_layer_cannot_be_hooked(ids: Tensor) -> None:
    model = tiny_loaded()
    plain = logits(model, ids)
    broken = Intervention({0: torch.ones(1, WIDTH), 1: torch.ones(1, WIDTH + 1)})
    with pytest.raises(RuntimeError), steer(model, broken):
        pass
    assert torch.equal(logits(model, ids), plain)


def test_zero_displacement_and_no_intervention_change_nothing(ids: Tensor) -> None:
    model = tiny_loaded()
    plain = logits(model, ids)
    for nothing in (None, Intervention({}), Intervention({1: torch.zeros(1, WIDTH)})):
        with steer(model, nothing):
            assert torch.equal(logits(model, ids), plain)


def test_a_bias_of_o_proj_is_not_added_twice(ids: Tensor) -> None:
    model = tiny_loaded("llama")
    for o_proj in model.outputs():
        o_proj.bias = torch.nn.Parameter(torch.randn(o_proj.out_features).to(model.device), requires_grad=False)
    intervention = random_intervention(5)
    expected = displaced_head_outputs(model, ids, dict(intervention.displacements), torch.ones(11))
    with steer(model, intervention):
        torch.testing.assert_close(logits(model, ids), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_generation_is_steered_at_every_step(ids: Tensor) -> None:
    model = tiny_loaded()
    intervention = random_intervention(6)
    prompt = ids[:1]
    mask = torch.ones_like(prompt)
    with steer(model, intervention), torch.inference_mode():
        tokens = model.model.generate(input_ids=prompt, attention_mask=mask, max_new_tokens=6, do_sample=False)
    grown = prompt
    for _ in range(tokens.shape[1] - prompt.shape[1]):
        everywhere = torch.ones(grown.shape[1])
        step = displaced_head_outputs(model, grown, dict(intervention.displacements), everywhere)
        grown = torch.cat([grown, step[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(tokens, grown)


def test_bad_use_is_refused(ids: Tensor) -> None:
    model = tiny_loaded()
    with pytest.raises(InputError, match="positions 'prompt'"), steer(model, None, positions="prompt"):
        pass
    two_rows = Intervention({0: torch.ones(2, WIDTH)})
    with pytest.raises(InputError, match="2 rows, the batch has 3"), steer(model, two_rows):
        logits(model, ids)
    with pytest.raises(InputError, match="one row"):
        Intervention.stack([two_rows])


def test_from_heads_puts_alpha_sigma_theta_into_the_heads_slot() -> None:
    geometry = tiny_loaded().geometry
    heads = torch.tensor([[2, 1], [0, 5], [2, 3]])
    theta = torch.nn.functional.normalize(torch.randn(3, HEAD_DIM), dim=-1)
    sigma = torch.tensor([0.5, 2.0, 1.0])
    intervention = Intervention.from_heads(geometry, heads, theta, sigma, alpha=3.0)
    assert sorted(intervention.displacements) == [0, 2]
    dense = torch.zeros(LAYERS, HEADS, HEAD_DIM)
    for (layer, head), vector, scale in zip(heads.tolist(), theta, sigma, strict=True):
        dense[layer, head] = 3.0 * scale * vector
    for layer, row in intervention.displacements.items():
        torch.testing.assert_close(row[0].view(HEADS, HEAD_DIM), dense[layer])


@pytest.mark.parametrize(("head", "dim"), [([LAYERS, 0], HEAD_DIM), ([0, HEADS], HEAD_DIM), ([0, 0], HEAD_DIM + 1)])
def test_directions_of_another_model_are_refused(head: list[int], dim: int) -> None:
    geometry = tiny_loaded().geometry
    with pytest.raises(InputError, match="directions"):
        Intervention.from_heads(geometry, torch.tensor([head]), torch.ones(1, dim), torch.ones(1), 1.0)
