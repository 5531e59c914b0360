"""Layers, heads and strength chosen by what steering them does to answers that directions were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

LONGEST_RUN = 3

Head = tuple[int, int]
"""Layer, and head in it."""
Heads = tuple[Head, ...]


@dataclass(frozen=True)
class Trial:
    """Some heads, steered at one strength.

    Attributes:
        layers: that the heads are in, in order.
        alpha: strength.
        mae: mean over personas of the mean absolute error on validation items.
        item_correlation: mean over personas of the correlation across validation items; None if nobody has one.
        heads: steered, best first; None is all heads of the layers.
    """

    layers: tuple[int, ...]
    alpha: float
    mae: float
    item_correlation: float | None
    heads: Heads | None = None

    def to_json(self) -> dict[str, Any]:
        """As one JSON document."""
        heads = None if self.heads is None else [list(head) for head in self.heads]
        return {**asdict(self), "layers": list(self.layers), "heads": heads}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Trial:
        """Inverse of `to_json`."""
        heads = document["heads"]
        known = None if heads is None else tuple((int(layer), int(head)) for layer, head in heads)
        return cls(**{**document, "layers": tuple(document["layers"]), "heads": known})


Try = Callable[[tuple[int, ...], Heads | None, float], Trial]
"""Steers heads (None: all) of some layers at one strength, and measures."""


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
    alone = [trial((layer,), None, alpha) for layer in range(n_layers) for alpha in alphas]
    [center] = best(alone).layers
    return alone + [trial(run, None, alpha) for run in runs_around(center, n_layers, longest) for alpha in alphas]


def select_heads(whole: Trial, n_heads: int, alphas: Sequence[float], trial: Try, size: int = 1) -> list[Trial]:
    """Try every head, or group of heads, of some layers alone, then growing sets of those that did best.

    Args:
        whole: the trial of all heads of these layers; each head alone is steered at its strength.
        n_heads: of a layer.
        alphas: strengths, each tried on every set.
        trial: steers and measures.
        size: heads a group; 1 tries single heads.

    Returns:
        All trials in the order they were made, none where there is one head or group; `best` picks one, also beside
        `whole`.
    """
    heads = heads_of(whole.layers, n_heads)
    groups = [heads[first : first + size] for first in range(0, len(heads), size)]
    if len(groups) == 1:
        return []
    alone = [(trial((group[0][0],), group, whole.alpha), group) for group in groups]
    ranked = [group for _, group in sorted(alone, key=lambda each: each[0].mae)]
    grown = [
        trial(tuple(sorted({group[0][0] for group in ranked[:count]})), tuple(chain(*ranked[:count])), alpha)
        for count in set_sizes(len(groups))
        for alpha in alphas
        # that one was made above
        if (count, alpha) != (1, whole.alpha)
    ]
    return [each for each, _ in alone] + grown


def count_trials(n_layers: int, n_heads: int, alphas: int, longest: int = LONGEST_RUN) -> int:
    """At most so many trials are made, of layers and then of heads; `n_heads` counts groups where these are tried."""
    around = max((sum(1 for _ in runs_around(layer, n_layers, longest)) for layer in range(n_layers)), default=0)
    heads = min(longest, n_layers) * n_heads
    single = heads + sum(1 for _ in set_sizes(heads)) * alphas - 1 if heads > 1 else 0
    return (n_layers + around) * alphas + single


def runs_around(center: int, n_layers: int, longest: int) -> Iterator[tuple[int, ...]]:
    """Runs of 2 to `longest` neighbouring layers that hold `center`."""
    for length in range(2, min(longest, n_layers) + 1):
        for first in range(max(0, center - length + 1), min(center, n_layers - length) + 1):
            yield tuple(range(first, first + length))


def set_sizes(heads: int) -> Iterator[int]:
    """1, 2, 4, ... below the number of heads."""
    size = 1
    while size < heads:
        yield size
        size *= 2


def heads_of(layers: Sequence[int], n_heads: int) -> Heads:
    """All heads of some layers, in order."""
    return tuple((layer, head) for layer in layers for head in range(n_heads))


def best(trials: Sequence[Trial]) -> Trial:
    """The trial of lowest error; of equals the one made first: fewer layers, then the lower ones, then whole layers."""
    return min(trials, key=lambda each: each.mae)
