"""What to add to the head outputs, and where: the displacement alpha * sigma * theta."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.models.geometry import Geometry
from pasctl.models.sites import HEADS


@dataclass(frozen=True, eq=False)
class Intervention:
    """Displacements of the head outputs of some layers.

    Attributes:
        displacements: place among the sites of a kind, which is the layer where every layer has one -> float32
            [R, H*D], heads side by side in their slots. R = 1 displaces every
            row of a batch alike; otherwise R must be the batch size and each row has its own.
        kind: of the sites that are displaced.
    """

    displacements: Mapping[int, Tensor]
    kind: str = HEADS

    @cached_property
    def digest(self) -> bytes:
        """sha256 of all that it adds and where; the same for equal interventions."""
        found = hashlib.sha256(self.kind.encode())
        for layer, delta in sorted(self.displacements.items()):
            found.update(f" {layer} {tuple(delta.shape)} ".encode())
            found.update(delta.detach().float().cpu().contiguous().numpy().tobytes())
        return found.digest()

    @classmethod
    def from_heads(cls, geometry: Geometry, heads: Tensor, theta: Tensor, sigma: Tensor, alpha: float) -> Intervention:
        """Place alpha * sigma * theta of each chosen head in its slot (PAS, design section 5).

        Args:
            geometry: of the model that will be steered, at the kind of sites that is displaced.
            heads: int [K, 2], rows of (layer, head).
            theta: float [K, D], unit vectors.
            sigma: float [K], std of the head outputs' projections on theta.
            alpha: strength; 0 displaces nothing, a negative one steers away.

        Raises:
            InputError: a head that the model does not have, or a head_dim that is not the model's.
        """
        if theta.shape[-1] != geometry.head_dim:
            raise InputError(
                f"directions have head_dim {theta.shape[-1]}, the model has {geometry.head_dim}",
                hint="use directions that were fitted on this model",
            )
        displacements: dict[int, Tensor] = {}
        for (layer, head), vector, scale in zip(heads.tolist(), theta.float(), sigma.float(), strict=True):
            if not (0 <= layer < geometry.layers and 0 <= head < geometry.heads):
                raise InputError(
                    f"directions name layer {layer} head {head}, the model has {geometry.layers} x {geometry.heads}",
                    hint="use directions that were fitted on this model",
                )
            row = displacements.setdefault(layer, torch.zeros(1, geometry.heads * geometry.head_dim))
            row[0, head * geometry.head_dim : (head + 1) * geometry.head_dim] += alpha * scale * vector
        return cls(displacements, geometry.kind)

    @classmethod
    def stack(cls, rows: Sequence[Intervention | None]) -> Intervention:
        """One intervention for a batch whose rows are displaced differently; None leaves a row as it is.

        Raises:
            InputError: a part that itself has more than one row, or rows that displace different kinds of sites.
        """
        kinds = {row.kind for row in rows if row is not None} or {HEADS}
        if len(kinds) > 1:
            raise InputError(f"a batch displaces one kind of sites, these rows displace {' and '.join(sorted(kinds))}")
        layers = sorted({layer for row in rows if row is not None for layer in row.displacements})
        stacked: dict[int, Tensor] = {}
        for layer in layers:
            present = [row.displacements[layer] for row in rows if row is not None and layer in row.displacements]
            if any(part.shape[0] != 1 for part in present):
                raise InputError("only interventions of one row can be stacked into a batch")
            zero = torch.zeros_like(present[0])
            stacked[layer] = torch.cat(
                [row.displacements.get(layer, zero) if row is not None else zero for row in rows]
            )
        return cls(stacked, kinds.pop())
