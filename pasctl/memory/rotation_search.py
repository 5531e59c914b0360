"""How a layer rotates, found among what is known by what it makes of one vector at several positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.rotary import Angles, Rotation, rotate
from pasctl.models.placement import weight_of

if TYPE_CHECKING:
    from torch import nn

    from pasctl.models.load import LoadedModel

TOLERANCE = {"float64": 1e-3, "float32": 1e-3, "float16": 0.02, "bfloat16": 0.02}
"""Mean difference of pairs of components as a share of their size. On tiny models of all families rounding makes at
most 6e-7 in float32 and .002 in bfloat16."""
_NORMS = (("query_layernorm", "key_layernorm"), ("q_norm", "k_norm"), ("q_layernorm", "k_layernorm"))


def frequencies(model: LoadedModel) -> list[Tensor]:
    """Different sets of frequencies that the text decoder has, float64 [R / 2]."""
    sets: list[Tensor] = []
    for name, buffer in model.backbone.named_buffers():
        if name.endswith("inv_freq") and not name.endswith("original_inv_freq"):
            values = buffer.double().cpu().clone()
            if not any(torch.equal(values, other) for other in sets):
                sets.append(values)
    return sets


def find_rotations(
    model: LoadedModel, taken: Mapping[int, tuple[Tensor, Tensor]], positions: Tensor
) -> dict[int, Rotation]:
    """How each layer rotates.

    Args:
        model: of which.
        taken: queries and keys [P, heads, 1, D] of a token at each of some positions, by the layer's number.
        positions: int64 [P], the first is 0.

    Raises:
        InputError: none of the ways that are known explains what a layer does.
    """
    turns = [
        (sign * values, interleaved)
        for values in frequencies(model)
        for interleaved in (False, True)
        for sign in (1, -1)
    ]
    none = (torch.empty(0, dtype=torch.float64), False)
    kinds = [Rotation(*turn, kind) for kind, turn in enumerate([*turns, none])]
    rotations: dict[int, Rotation] = {}
    for number, attention in model.attentions().items():
        query, key = taken[number]
        for rotation in _candidates(kinds, attention, key.shape[-1]):
            errors = (
                _error(query, positions, rotation, rotation.query_weight),
                _error(key, positions, rotation, rotation.key_weight),
            )
            if max(errors) <= tolerance(model):
                rotations[number] = rotation
                break
        else:
            raise InputError(
                f"layer {number} of a {model.adapter.family} model changes its queries and keys with their positions "
                "in a way that memory does not know"
            )
    return rotations


def _candidates(kinds: Sequence[Rotation], attention: nn.Module, width: int) -> Iterator[Rotation]:
    """Ways in which a layer may rotate, with no norm behind the rotation and with each that it has."""
    able = [kind for kind in kinds if 2 * len(kind.frequencies) <= width]
    yield from able
    for names in _NORMS:
        query, key = (weight_of(getattr(attention, name, None)) for name in names)
        if query is not None and key is not None and query.shape == key.shape == (width,):
            yield from (replace(kind, query_weight=query, key_weight=key) for kind in able)


def _error(x: Tensor, positions: Tensor, rotation: Rotation, weight: Tensor | None) -> float:
    """Mean difference of queries or keys [P, heads, 1, D] from rotated ones, of each pair as a share of its size."""
    moved = without_weight(x, weight)
    at_zero = moved[:1].expand_as(moved)
    angles = positions[:, None, None, None].double() * rotation.frequencies
    expected = rotate(at_zero, Angles(angles.cos(), angles.sin(), rotation.interleaved))
    differences = [
        (is_now - was).norm(dim=-1) / (is_now.norm(dim=-1) + was.norm(dim=-1)).clamp_min(1e-30)
        for is_now, was in zip(_pairs(moved, rotation), _pairs(expected, rotation), strict=True)
    ]
    return float(torch.cat([part.flatten() for part in differences]).mean())


def _pairs(x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Components [..., R / 2, 2] that are rotated together, and [..., D - R, 1] that are not."""
    rotated = 2 * len(rotation.frequencies)
    part, rest = x[..., :rotated], x[..., rotated:, None]
    if rotation.interleaved:
        return torch.stack([part[..., 0::2], part[..., 1::2]], dim=-1), rest
    return torch.stack(part.chunk(2, dim=-1), dim=-1), rest


def without_weight(x: Tensor, weight: Tensor | None) -> Tensor:
    """Queries or keys in float64, without the weight of a norm."""
    values = x.double().cpu()
    return values if weight is None else values / weight.double().cpu()


def tolerance(model: LoadedModel) -> float:
    """`TOLERANCE` of a model."""
    return TOLERANCE.get(model.dtype, TOLERANCE["bfloat16"])
