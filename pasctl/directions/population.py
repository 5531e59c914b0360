"""What the raw directions of a whole population have in common, summed up over personas that come in parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasctl.directions.method import DirectionMethod
from pasctl.errors import InputError
from pasctl.probes.pairs import LayerSource, Pairs, layer_at, layer_count


@dataclass(frozen=True, eq=False)
class Population:
    """Moments of all personas' raw directions, in every head of every layer.

    Attributes:
        mean: float64 [L, H, D].
        size: float64 [L, H], the RMS length.
    """

    mean: NDArray[np.float64]
    size: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums over the personas met so far.

    Attributes:
        total: of raw directions, float64 [L, H, D].
        square: of their squared lengths, float64 [L, H].
        count: personas.
    """

    total: NDArray[np.float64]
    square: NDArray[np.float64]
    count: int

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.total + other.total, self.square + other.square, self.count + other.count)

    def population(self) -> Population:
        """The moments.

        Raises:
            InputError: there are fewer than two personas.
        """
        if self.count < 2:
            raise InputError(f"a population has at least 2 personas, found {self.count}")
        return Population(self.total / self.count, np.sqrt(self.square / self.count))


def sum_up(
    x: LayerSource, pairs: Pairs, signs: NDArray[np.int8], method: DirectionMethod, *, n_layers: int | None = None
) -> Sums:
    """The sums of some personas; arguments are those of `fit_directions`."""
    raw = [method.raw(layer_at(x, layer), pairs, signs) for layer in range(layer_count(x, n_layers))]
    total = np.stack([each.sum(dim=0).numpy() for each in raw])
    square = np.stack([each.square().sum(dim=(0, 2)).numpy() for each in raw])
    return Sums(total, square, len(signs))
