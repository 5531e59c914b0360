"""The probe-weight direction: the normal of the plane by which a logistic probe tells the answers apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pasctl.probes.logistic import LogisticProbe
from pasctl.probes.pairs import Pairs, pair_labels, pair_rows


@dataclass(frozen=True)
class ProbeWeight(LogisticProbe):
    """Weights of the logistic probe, refitted on all usable items: no item is held out here."""

    def raw(self, layer_x: Tensor, pairs: Pairs, signs: NDArray[np.int8]) -> Tensor:
        """Directions float64 [P, H, D], in the space of the head outputs as extracted."""
        labels, usable = pair_labels(signs, len(pairs))
        weights, _ = self.fit(pair_rows(layer_x, pairs), labels, usable)
        return weights
