"""Head outputs on one scale, so that a penalty means the same in every head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Rows less their mean, divided by one scalar a head: the RMS of that head's centred features over all rows.

    So a penalty does not depend on the size of a head's outputs, while the shape of the features' distribution (and
    with it the direction of the weights) is left alone. No label enters, and it is the same for every persona.

    Attributes:
        rows: float64 [H, R, D]; a head without any variance is all 0 and learns w = 0.
        mean: float64 [H, 1, D].
        rms: float64 [H], 1 for a head without any variance.
    """

    rows: Tensor
    mean: Tensor
    rms: Tensor

    def undo(self, weights: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [P, H, D] and bias [P, H] for scaled rows -> the same for rows as given."""
        weights = weights / self.rms[:, None]
        return weights, bias - torch.einsum("phd,hd->ph", weights, self.mean[:, 0])


def scale_rows(rows: Tensor) -> ScaledRows:
    """Scale float64 rows [H, R, D]."""
    mean = rows.mean(dim=1, keepdim=True)
    centred = rows - mean
    rms = centred.square().mean(dim=(1, 2)).sqrt()
    rms = torch.where(rms > 0, rms, 1.0)
    return ScaledRows(centred / rms[:, None, None], mean, rms)
