"""Layers and strength chosen by what steering them does to answers that directions were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LONGEST_RUN = 3
TRIED_ALPHAS = "1,2,4,8"


@dataclass(frozen=True)
class Trial:
    """All heads of some neighbouring layers, steered at one strength.

    Attributes:
        layers: in order.
        alpha: strength.
        mae: mean over personas of the mean absolute error on validation items.
        item_correlation: mean over personas of the correlation across validation items; None if nobody has one.
    """

    layers: tuple[int, ...]
    alpha: float
    mae: float
    item_correlation: float | None

    def to_json(self) -> dict[str, Any]:
        """As one JSON document."""
        return {**asdict(self), "layers": list(self.layers)}


Try = Callable[[tuple[int, ...], float], Trial]


def select_layers(n_layers: int, alphas: Sequence[float], trial: Try, longest: int = LONGEST_RUN) -> list[Trial]:
    """Try every layer alone, then the runs of up to `longest` layers around the best one.

    Args:
        n_layers: of the model.
        alphas: strengths, each tried on every run.
        trial: steers and measures.
        longest: layers of a run at most.

    Returns:
        All trials in the order they were made; `best` picks one.
    """
    alone = [trial((layer,), alpha) for layer in range(n_layers) for alpha in alphas]
    [center] = best(alone).layers
    return alone + [trial(run, alpha) for run in runs_around(center, n_layers, longest) for alpha in alphas]


def count_trials(n_layers: int, alphas: int, longest: int = LONGEST_RUN) -> int:
    """At most so many trials are made."""
    around = max((sum(1 for _ in runs_around(layer, n_layers, longest)) for layer in range(n_layers)), default=0)
    return (n_layers + around) * alphas


def runs_around(center: int, n_layers: int, longest: int) -> Iterator[tuple[int, ...]]:
    """Runs of 2 to `longest` neighbouring layers that hold `center`."""
    for length in range(2, min(longest, n_layers) + 1):
        for first in range(max(0, center - length + 1), min(center, n_layers - length) + 1):
            yield tuple(range(first, first + length))


def best(trials: Sequence[Trial]) -> Trial:
    """The trial of lowest error; of equals the one made first: fewer layers, then the lower ones."""
    return min(trials, key=lambda each: each.mae)
