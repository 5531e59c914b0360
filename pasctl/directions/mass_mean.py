"""The mass-mean direction: mean of the rows labelled 1 minus mean of the rows labelled 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.probes.pairs import Pairs, pair_rows


@dataclass(frozen=True)
class MassMean:
    """(1 / n_p) sum_i s_pi (x[i, agree] - x[i, disagree]), the mean over option orders of it.

    Every usable item gives one row of each label, so the difference of means is a mean of differences, and all
    personas at once are one matrix product [P, I] @ [I, H * D].
    """

    def raw(self, layer_x: Tensor, pairs: Pairs, signs: NDArray[np.int8]) -> Tensor:
        """Directions float64 [P, H, D]; zero for a persona without a usable item."""
        n_heads, _, dim = (rows := pair_rows(layer_x, pairs)).shape
        by_side = rows.view(n_heads, len(layer_x), len(pairs), 2, dim)
        difference = (by_side[:, :, :, 0] - by_side[:, :, :, 1]).mean(dim=2)  # [H, I, D]
        s = torch.from_numpy(signs).double()
        n = s.abs().sum(dim=1).clamp(min=1)
        total = s @ difference.transpose(0, 1).flatten(1)
        return (total / n[:, None]).view(len(s), n_heads, dim)
