"""The principal direction of paired differences (as in representation engineering, arXiv 2310.01405, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.probes.pairs import Pairs, pair_rows


@dataclass(frozen=True)
class PrincipalComponent:
    """The axis along which a persona's differences s_pi (x[i, agree] - x[i, disagree]) are longest.

    It is the first eigenvector v of their second moments, turned towards their mean m, with the length v . m: what of
    the mean-difference direction lies along it.
    """

    def raw(self, layer_x: Tensor, pairs: Pairs, signs: NDArray[np.int8]) -> Tensor:
        """Directions float64 [P, H, D]; zero for a persona without a usable item."""
        n_heads, _, dim = (rows := pair_rows(layer_x, pairs)).shape
        by_side = rows.view(n_heads, len(layer_x), len(pairs), 2, dim)
        differences = by_side[:, :, :, 0] - by_side[:, :, :, 1]  # [H, I, O, D]
        found = torch.zeros(len(signs), n_heads, dim, dtype=torch.float64)
        for person, sign in enumerate(torch.from_numpy(signs).double()):
            usable = sign != 0
            if usable.any():
                own = (differences[:, usable] * sign[usable, None, None]).flatten(1, 2)  # [H, n, D]
                axis = torch.linalg.eigh(own.mT @ own).eigenvectors[..., -1]
                found[person] = axis * (axis * own.mean(dim=1)).sum(dim=1, keepdim=True)
        return found
