"""Rotary positions, applied outside the model so that a key can be put wherever memory wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rotation:
    """How a layer rotates its queries and keys.

    A scaling factor of the rotation is in queries and keys already, which the model rotates by zero.

    Attributes:
        frequencies: float64 [R / 2], radians per token, of the first R components of a head; negative ones turn the
            other way round; there is none where a layer does not rotate.
        interleaved: whether components 0 and 1, 2 and 3 ... are pairs, rather than 0 and R / 2, 1 and R / 2 + 1 ...
        kind: number that layers with the same frequencies and pairs share.
        query_weight: [D] of a norm behind the rotation, which queries are multiplied with; None is no such norm.
        key_weight: the same of keys.
    """

    frequencies: Tensor
    interleaved: bool = False
    kind: int = 0
    query_weight: Tensor | None = None
    key_weight: Tensor | None = None


@dataclass(frozen=True)
class Angles:
    """Cosine and sine [B or 1, 1, n, R / 2] of the angles at some positions, and how components are paired."""

    cosine: Tensor
    sine: Tensor
    interleaved: bool = False

    def last(self, count: int) -> Angles:
        """Those of the last `count` positions."""
        first = self.cosine.shape[2] - count
        return Angles(self.cosine[:, :, first:], self.sine[:, :, first:], self.interleaved)

    def at(self, places: Tensor) -> Angles:
        """Those at places int64 [B, n] among the positions; the angles are of one row."""
        return Angles(self.cosine[0, 0, places][:, None], self.sine[0, 0, places][:, None], self.interleaved)


class Rotary:
    """The rotations of a model's layers of full attention, by their place among these."""

    def __init__(self, rotations: Sequence[Rotation], devices: Sequence[torch.device], dtype: torch.dtype) -> None:
        """Rotate on each layer's device, in the model's dtype."""
        self._rotations, self._devices, self._dtype = tuple(rotations), tuple(devices), dtype

    def kind(self, place: int) -> tuple[int, torch.device]:
        """What layers with the same angles, on the same device, share."""
        return self._rotations[place].kind, self._devices[place]

    def angles(self, place: int, positions: Tensor, dtype: torch.dtype | None = None) -> Angles:
        """Angles of a layer at positions int64 [B or 1, n], in the model's dtype or another.

        They are computed in float64, since float32 is too coarse from some 100k tokens on.
        """
        rotation = self._rotations[place]
        angles = positions[:, None, :, None].cpu().double() * rotation.frequencies
        cosine, sine = (part.to(dtype or self._dtype).to(self._devices[place]) for part in (angles.cos(), angles.sin()))
        return Angles(cosine, sine, rotation.interleaved)

    def query(self, place: int, query: Tensor, angles: Angles) -> Tensor:
        """Queries [B, H, n, D] of a layer, rotated."""
        return rotate(query, angles, self._rotations[place].query_weight)

    def key(self, place: int, key: Tensor, angles: Angles) -> Tensor:
        """Keys [B, G, n, D] of a layer, rotated."""
        return rotate(key, angles, self._rotations[place].key_weight)


def rotate(x: Tensor, angles: Angles, weight: Tensor | None = None) -> Tensor:
    """Queries or keys [B, heads, n, D] rotated by the angles of their n positions.

    Args:
        x: queries or keys, the first 2 * angles of whose components are rotated.
        angles: of the positions.
        weight: [D] of a norm that the model applies after it has rotated. A norm's root mean square is that of the
            unrotated vector, so only the weight has to be taken off and put on again. x may be wider, by zeros.
    """
    if weight is not None:
        scale = torch.nn.functional.pad(weight.to(x.dtype), (0, x.shape[-1] - len(weight)), value=1.0)
        return rotate(x / scale, angles) * scale
    rotated, width = 2 * angles.cosine.shape[-1], x.shape[-1]
    if not rotated:
        return x
    part = x if rotated == width else x[..., :rotated]
    first, second = (part[..., 0::2], part[..., 1::2]) if angles.interleaved else part.chunk(2, dim=-1)
    turned = first * angles.cosine - second * angles.sine, second * angles.cosine + first * angles.sine
    whole = torch.stack(turned, dim=-1).flatten(-2) if angles.interleaved else torch.cat(turned, dim=-1)
    return whole if rotated == width else torch.cat([whole, x[..., rotated:]], dim=-1)
