"""The mass-mean direction: mean of the rows labelled 1 minus mean of the rows labelled 0 (arXiv 2310.06824)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.errors import InputError
from pasctl.probes.pairs import Pairs, pair_rows


@dataclass(frozen=True)
class MassMean:
    """(1 / n_p) sum_i s_pi (x[i, agree] - x[i, disagree]), the mean over option orders of it.

    Every usable item gives one row of each label, so the difference of means is a mean of differences, and all
    personas at once are one matrix product [P, I] @ [I, H * D].

    With `shrink` s > 0 a head's axes of large variance are shrunk: the direction is multiplied by the inverse of
    (1 - s) I + s C / (trace(C) / D), where C is the covariance of all the head's rows. Near s = 1 it is the direction
    of Fisher's linear discriminant.

    Attributes:
        shrink: from 0, the difference of means, to below 1.
    """

    shrink: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.shrink < 1:
            raise InputError(f"mass-mean: expected shrink from 0 to below 1, found {self.shrink}")

    def raw(self, layer_x: Tensor, pairs: Pairs, signs: NDArray[np.int8]) -> Tensor:
        """Directions float64 [P, H, D]; zero for a persona without a usable item."""
        n_heads, _, dim = (rows := pair_rows(layer_x, pairs)).shape
        by_side = rows.view(n_heads, len(layer_x), len(pairs), 2, dim)
        difference = (by_side[:, :, :, 0] - by_side[:, :, :, 1]).mean(dim=2)  # [H, I, D]
        s = torch.from_numpy(signs).double()
        n = s.abs().sum(dim=1).clamp(min=1)
        total = s @ difference.transpose(0, 1).flatten(1)
        raw = (total / n[:, None]).view(len(s), n_heads, dim)
        return raw if self.shrink == 0 else self._shrunk(raw, rows)

    def _shrunk(self, raw: Tensor, rows: Tensor) -> Tensor:
        """Directions [P, H, D] less what lies along axes of large variance of the rows [H, R, D]."""
        centred = rows - rows.mean(dim=1, keepdim=True)
        covariance = centred.mT @ centred / rows.shape[1]
        mean_variance = covariance.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
        relative = covariance / torch.where(mean_variance > 0, mean_variance, 1.0)
        weighing = self.shrink * relative
        weighing.diagonal(dim1=1, dim2=2).add_(1 - self.shrink)
        shrunk: Tensor = torch.linalg.solve(weighing, raw.permute(1, 2, 0))  # [H, D, P]
        return shrunk.permute(2, 0, 1)
