"""Directions of personas as weighted sums of the directions of a contrast's axes: one matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.directions.fit import Directions
from pasctl.directions.method import DirectionMethod
from pasctl.errors import PasctlError
from pasctl.probes.pairs import layer_at

Floats = NDArray[np.float64]
PAIR = ((0, 1),)
"""The plus and the minus column of a contrast's activations."""


def axis_directions(x: Tensor, axis: NDArray[np.int64], axes: int, method: DirectionMethod) -> Floats:
    """The raw direction of each axis in every head, float64 [T, L, H, D], one layer in memory at a time.

    With the mass-mean method that is the mean over the axis' pairs of x[plus] - x[minus], so that a steering delta of
    this length moves a head output from the middle of one side to the middle of the other.

    Args:
        x: head outputs [N, 2, L, H, D] of N pairs.
        axis: the axis of each pair, int [N].
        axes: T, how many there are; each has a pair.
        method: the formula.

    Raises:
        PasctlError: head outputs that are not finite.
    """
    signs = (axis[None, :] == np.arange(axes)[:, None]).astype(np.int8)  # [T, N]
    layers, heads, dim = x.shape[2:]
    found = np.empty((axes, layers, heads, dim))
    for layer in range(layers):
        found[:, layer] = method.raw(layer_at(x, layer), PAIR, signs).numpy()
    return found


def without_shared(deltas: Floats, signs: Floats) -> Floats:
    """Directions [T, K, D] less their projections on what they share: the mean of their units, each in its sign.

    The projection is over all heads together, so that a head that shares more loses more.

    Args:
        deltas: float64 [T, K, D], none of them zero.
        signs: which way each counts, 1 or -1, [T].
    """
    flat = deltas.reshape(len(deltas), -1)
    units = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    shared = signs @ units
    shared /= np.linalg.norm(shared)
    return (flat - np.outer(flat @ shared, shared)).reshape(deltas.shape)


@dataclass(frozen=True, eq=False)
class Axes:
    """The directions of a contrast's axes in the heads that are steered.

    Attributes:
        heads: int64 [K, 2], (layer, head).
        deltas: float64 [T, K, D], what alpha 1 adds for an axis of weight 1.
    """

    heads: NDArray[np.int64]
    deltas: Floats

    @classmethod
    def of(cls, raw: Floats, heads: NDArray[np.int64]) -> Axes:
        """Those of some heads [K, 2], from all heads' [T, L, H, D]."""
        return cls(heads, raw[:, heads[:, 0], heads[:, 1]])

    def combine(self, weights: Floats, lengths: NDArray[np.float32] | None = None) -> Directions:
        """Directions of P personas: delta = sum over axes of weight * axis delta, theta its unit, sigma its length.

        Args:
            weights: [P, T].
            lengths: sigma [P, K] in place of the deltas' own, for a control of equal norm.

        Raises:
            PasctlError: a persona whose delta is zero everywhere.
        """
        delta = torch.einsum("pt,tkd->pkd", torch.from_numpy(weights), torch.from_numpy(self.deltas)).numpy()
        sigma = np.linalg.norm(delta, axis=2)
        if lengths is None and not sigma.any(axis=1).all():
            row = int(np.flatnonzero(~sigma.any(axis=1))[0])
            raise PasctlError(
                f"persona {row}: expected a direction, found weights {np.round(weights[row], 3).tolist()} that cancel",
                hint="this persona does not differ from the population on any trait; leave it out",
            )
        theta = np.divide(delta, sigma[..., None], out=np.zeros_like(delta), where=sigma[..., None] > 0)
        lengths = sigma.astype(np.float32) if lengths is None else lengths
        heads = np.repeat(self.heads[None], len(weights), axis=0)
        return Directions(heads=heads, theta=theta.astype(np.float32), sigma=lengths)
