"""Unit directions theta and spreads sigma of chosen heads, for every persona."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.directions import CENTERS
from pasctl.directions.mass_mean import MassMean
from pasctl.directions.method import DirectionMethod
from pasctl.directions.population import Population
from pasctl.errors import InputError, PasctlError
from pasctl.probes.pairs import LayerSource, Pairs, layer_at, layer_count, pair_labels, pair_rows, persona_name

RELATIVE_ZERO = 1e-9
"""A direction this much shorter than its head's directions before centring is rounding, not signal."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Where to steer each persona, and how long one unit of alpha is.

    Attributes:
        heads: int64 [P, K, 2], (layer, head).
        theta: float32 [P, K, D], unit vectors.
        sigma: float32 [P, K], standard deviation (ddof 0) of x . theta over the persona's fit rows, in units of x.
    """

    heads: NDArray[np.int64]
    theta: NDArray[np.float32]
    sigma: NDArray[np.float32]


_WHY_NONE = {
    "population": ", or this persona answers as the population does",
    "letters": ", or this persona's answers say no more than the letters do; --center none keeps these",
}

Lacking = Literal["none", "some", "any"]


def fit_directions(
    x: LayerSource,
    pairs: Pairs,
    signs: NDArray[np.int8],
    heads: NDArray[np.int64],
    method: DirectionMethod,
    center: str = "none",
    *,
    n_layers: int | None = None,
    ids: Sequence[str] | None = None,
    lacking: Lacking = "none",
    population: Population | None = None,
    noun: str = "head",
    progress: Callable[[int, int], None] | None = None,
) -> Directions:
    """Fit the directions, one layer in memory at a time, only in heads that some persona asks for.

    Args:
        x: head outputs [I, A, L, H, D] of the fit items, or a function from a layer to its [I, A, H, D].
        pairs: (agree, disagree) columns of the answer axis.
        signs: [P, I] in {-1, 0, 1}; 0 leaves the item out.
        heads: (layer, head) [P, K, 2].
        method: the formula of the raw direction.
        center: "population" takes the mean over personas of a head's raw directions off each: most people agree more
            often than not. "letters" projects out what the agreeing letter does whoever gives it.
        n_layers: L, needed when `x` is a function.
        ids: names of the personas, for error messages.
        lacking: where a persona may have no direction, which leaves it unshifted there (theta and sigma are 0): in
            "none" of its heads, in "some" or in "any". A head that hears the letter alone has the same difference on
            all items, and none where as many are answered with yes as with no.
        population: of whom the personas are a part: centring takes its mean, and its size tells signal from rounding;
            None stands for the personas themselves.
        noun: what one of H is called in error messages.
        progress: called with (layers done, layers to do) after each layer.

    Raises:
        InputError: unknown centring, too few personas for it, a persona without usable items, shapes that do not fit.
        PasctlError: a direction that is zero or not finite, where it may not be lacking.
    """
    depth = layer_count(x, n_layers)
    _check(signs, heads, center, depth, ids, alone=population is None)
    by_layer: list[int] = np.unique(heads[:, :, 0]).tolist()
    theta = np.zeros(0, dtype=np.float32)  # until the first layer says how wide a head is
    sigma = np.zeros(heads.shape[:2], dtype=np.float32)
    for done, layer in enumerate(by_layer, start=1):
        persona, slot = np.nonzero(heads[:, :, 0] == layer)
        places = heads[persona, slot, 1]
        unit, spread, bad = _of_layer(x, layer, pairs, signs, persona, places, method, center, population)
        if lacking == "none" and (first := next(iter(np.flatnonzero(bad)), None)) is not None:
            _refuse(persona_name(int(persona[first]), ids), layer, f"{noun} {places[first]}", center)
        if not theta.size:
            theta = np.zeros((*heads.shape[:2], unit.shape[1]), dtype=np.float32)
        theta[persona, slot] = np.where(bad[:, None], 0, unit.float().numpy())
        sigma[persona, slot] = np.where(bad, 0, spread.float().numpy())
        if progress is not None:
            progress(done, len(by_layer))
    if lacking == "some":
        _require_some(sigma, heads, ids, noun, center)
    return Directions(heads=np.asarray(heads, dtype=np.int64), theta=theta, sigma=sigma)


def _of_layer(
    x: LayerSource,
    layer: int,
    pairs: Pairs,
    signs: NDArray[np.int8],
    persona: NDArray[np.int64],
    places: NDArray[np.int64],
    method: DirectionMethod,
    center: str,
    population: Population | None,
) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
    """Unit directions [n, D], their spreads [n] and which are none [n], of n personas, each in one head of a layer."""
    wanted, position = np.unique(places, return_inverse=True)
    picked = _heads_of_layer(x, layer, wanted, items=signs.shape[1])
    raw = method.raw(picked, pairs, signs)
    mean, size = _moments(raw) if population is None else _moments_of(population, layer, wanted)
    shared = letter_component(picked, pairs) if center == "letters" else None
    unit = _unit_directions(raw, mean, size, center, shared)[persona, position]  # NaN where there is none
    spread = _spread(picked, pairs, signs, unit, persona, position)
    none: NDArray[np.bool_] = ~(torch.isfinite(unit).all(dim=1) & torch.isfinite(spread) & (spread > 0)).numpy()
    return unit, spread, none


def _heads_of_layer(x: LayerSource, layer: int, wanted: NDArray[np.int64], *, items: int) -> Tensor:
    """Some heads of a layer [I, A, H, D], after their shape has been checked."""
    layer_x = layer_at(x, layer)
    if len(layer_x) != items:
        raise InputError(f"layer {layer}: expected head outputs of {items} items, found {len(layer_x)}")
    if wanted[0] < 0 or wanted[-1] >= layer_x.shape[2]:
        raise InputError(f"layer {layer}: expected heads 0..{layer_x.shape[2] - 1}, found {wanted.tolist()}")
    return layer_x[:, :, torch.from_numpy(wanted)]


def _require_some(
    sigma: NDArray[np.float32], heads: NDArray[np.int64], ids: Sequence[str] | None, noun: str, center: str
) -> None:
    """Refuse a persona that has no direction in any of its heads."""
    without = np.flatnonzero((sigma == 0).all(axis=1))
    if len(without):
        row = int(without[0])
        _refuse(persona_name(row, ids), int(heads[row, 0, 0]), f"{noun} {heads[row, 0, 1]} and others", center)


def _moments(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [H, D] and RMS length [H] of raw directions [P, H, D]."""
    return raw.mean(dim=0), raw.square().mean(dim=0).sum(dim=1).sqrt()


def _moments_of(population: Population, layer: int, heads: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """The same of a population, in some heads of a layer."""
    return torch.from_numpy(population.mean[layer, heads]), torch.from_numpy(population.size[layer, heads])


def letter_component(layer_x: Tensor, pairs: Pairs) -> Tensor:
    """What an answer letter does whoever gives it: mean over items of x[agree] - x[disagree], float64 [H, D]."""
    everybody = np.ones((1, len(layer_x)), dtype=np.int8)
    return MassMean().raw(layer_x, pairs, everybody)[0]


def _unit_directions(raw: Tensor, mean: Tensor, size: Tensor, center: str, letters: Tensor | None = None) -> Tensor:
    """Centre and normalise [P, H, D]; NaN where the direction is zero or, after centring, only rounding."""
    if center == "population":
        raw = raw - mean
    if letters is not None:
        length = letters.norm(dim=1, keepdim=True)
        unit = torch.where(length > RELATIVE_ZERO * size[:, None], letters / length, 0.0)
        raw = raw - (raw * unit).sum(dim=2, keepdim=True) * unit
    norm = raw.norm(dim=2)
    norm = torch.where(norm > RELATIVE_ZERO * size, norm, torch.nan)
    return raw / norm[..., None]


def _spread(
    picked: Tensor,
    pairs: Pairs,
    signs: NDArray[np.int8],
    unit: Tensor,
    persona: NDArray[np.int64],
    position: NDArray[np.int64],
) -> Tensor:
    """Standard deviation of each direction's projections over its persona's rows: both answers, all orders."""
    rows = pair_rows(picked, pairs)
    _, usable = pair_labels(signs, len(pairs))
    spread = unit.new_zeros(len(unit))
    for head in range(len(rows)):
        mine = np.flatnonzero(position == head)
        projections = unit[mine] @ rows[head].T  # of every row, [n, R]; those that are not the persona's weigh nothing
        weights = usable[persona[mine]]
        weights = weights / weights.sum(dim=1, keepdim=True)
        mean = (weights * projections).sum(dim=1, keepdim=True)
        spread[mine] = (weights * (projections - mean).square()).sum(dim=1).sqrt()
    return spread


def _check(
    signs: NDArray[np.int8],
    heads: NDArray[np.int64],
    center: str,
    depth: int,
    ids: Sequence[str] | None,
    *,
    alone: bool,
) -> None:
    if center not in CENTERS:
        raise InputError(f"centring: expected one of {', '.join(CENTERS)}, found '{center}'")
    if signs.ndim != 2 or heads.ndim != 3 or heads.shape[::2] != (len(signs), 2):
        raise InputError(
            "directions: expected signs [personas, items] and heads [personas, heads, 2], "
            f"found shapes {list(signs.shape)} and {list(heads.shape)}"
        )
    if center == "population" and alone and len(signs) < 2:
        raise InputError(
            f"centring on the population: expected at least 2 personas, found {len(signs)}",
            hint="give more personas or --center none",
        )
    if not heads.size:
        raise InputError("directions: expected at least one persona and head, found none")
    if heads[:, :, 0].min() < 0 or heads[:, :, 0].max() >= depth:
        raise InputError(f"heads: expected layers 0..{depth - 1}, found {np.unique(heads[:, :, 0]).tolist()}")
    empty = np.flatnonzero(~(signs != 0).any(axis=1))
    if len(empty):
        raise InputError(
            f"{persona_name(int(empty[0]), ids)}: expected an item answered other than 3, found none",
            hint="leave the persona out",
        )


def _refuse(persona: str, layer: int, place: str, center: str) -> None:
    centred = _WHY_NONE.get(center, "")
    raise PasctlError(
        f"{persona} layer {layer} {place}: expected a direction, found a zero or non-finite vector",
        hint=f"check that the two answers' prompts differ{centred}",
    )
