"""What a direction method has to offer."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pasctl.probes.pairs import Pairs


class DirectionMethod(Protocol):
    """One formula: the raw, not yet normalised directions of all personas in some heads of one layer."""

    def raw(self, layer_x: Tensor, pairs: Pairs, signs: NDArray[np.int8]) -> Tensor:
        """Head outputs [I, A, H, D], (agree, disagree) columns and signs [P, I] -> float64 [P, H, D] on the CPU."""
        ...
