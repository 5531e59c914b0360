"""A graded response model of one trait, made so that people's mean scores have a given mean and standard deviation.

As in `pasctl.inventory.simulate`, a person's keyed answer to item i is at least option k with probability

    P(Y >= k) = 1 / (1 + exp(-(a theta - beta_ik))),    beta_ik = c + d o_ik + a s_i

with theta standard normal, o_ik evenly from -1 to 1 over the item's thresholds, and a shift s_i of the item. For a
discrimination a, the place c and the spread d of the thresholds are solved for: c sets the mean over people, and d the
standard deviation, of which the answers' own noise is a part. Where all items have two options, d does nothing and a is
solved for instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from pasctl.inventory.items import FloatArray, IntArray, Inventory
from pasctl.inventory.norms import Norm

DISCRIMINATIONS = (1.6, 2.5, 4.0, 8.0)
"""Of answers from noisy, as people's are, to nearly none."""
THETA = np.linspace(-6.0, 6.0, 241)
DENSITY = np.exp(-(THETA**2) / 2) / np.exp(-(THETA**2) / 2).sum()
"""Of the standard normal distribution at THETA, summing to 1."""
_SHIFT = 0.4  # standard deviation of s, in those of the trait
_WIDEST, _STEEPEST, _FLATTEST = 60.0, 30.0, 0.02


@dataclass(frozen=True, eq=False)
class TraitItems:
    """The items of a trait, in keyed terms and on the inventory's scale.

    Attributes:
        columns: Their columns in the inventory [N].
        lowest: The lowest score of each [N].
        steps: From each option to the next [N, K - 1], 0 beyond an item's last.
        offsets: o [N, K - 1], inf beyond an item's last threshold, which nobody passes.
        shifts: s [N].
        weights: Of the items in the mean score [N], summing to 1.
    """

    columns: IntArray
    lowest: FloatArray
    steps: FloatArray
    offsets: FloatArray
    shifts: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, inventory: Inventory, trait: str) -> TraitItems:
        """The items of a trait; the shifts are the same for all people and seeds."""
        columns = np.flatnonzero(np.array(inventory.traits) == trait)
        width = int(inventory.points[columns].max()) - 1
        steps, offsets = np.zeros((len(columns), width)), np.full((len(columns), width), np.inf)
        lowest = np.empty(len(columns))
        for row, column in enumerate(columns):
            scores = keyed_options(inventory, int(column))
            count = len(scores) - 1
            lowest[row], steps[row, :count] = scores[0], np.diff(scores)
            offsets[row, :count] = np.linspace(-1.0, 1.0, count) if count > 1 else 0.0
        shifts = _SHIFT * np.random.default_rng([0, 1]).standard_normal(len(inventory))[columns]
        weights = inventory.weights[columns]
        return cls(columns, lowest, steps, offsets, shifts - shifts.mean(), weights / weights.sum())

    @property
    def binary(self) -> bool:
        """Whether no item has more than two options."""
        return bool(self.steps.shape[1] == 1)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest mean score."""
        low, high = self.lowest, self.lowest + self.steps.sum(axis=1)
        return float(self.weights @ low), float(self.weights @ high)


@dataclass(frozen=True, eq=False)
class GradedTrait:
    """A trait whose people are as the norm says.

    Attributes:
        items: Its items.
        discrimination: a.
        thresholds: beta [N, K - 1].
        curve: The expected mean score at THETA.
        sd: Standard deviation of the mean score over people, with noise.
    """

    items: TraitItems
    discrimination: float
    thresholds: FloatArray
    curve: FloatArray
    sd: float


def keyed_options(inventory: Inventory, column: int) -> FloatArray:
    """What the options of an item score in keyed terms and on the inventory's scale, ascending [K]."""
    scale, item, whole = inventory.scales[column], inventory.items[column], inventory.scale
    scores = scale.ascending if item.key > 0 else (scale.low + scale.high - scale.ascending)[::-1]
    shares = (scores - scale.low) / (scale.high - scale.low)
    options: FloatArray = whole.low + shares * (whole.high - whole.low)
    return options


def fitted(items: TraitItems, norm: Norm, discrimination: float) -> GradedTrait | None:
    """The model of a norm, None where no thresholds make its standard deviation at this discrimination.

    The norm's mean lies between the ends of the scale.
    """

    def made(place: float) -> GradedTrait:
        a, d = (float(np.exp(place)), 0.0) if items.binary else (discrimination, float(np.expm1(place)))
        return _at_mean(items, norm.mean, a, d)

    least, most = (np.log(_FLATTEST), np.log(_STEEPEST)) if items.binary else (0.0, np.log1p(_WIDEST))
    ends = [made(end).sd - norm.sd for end in (least, most)]
    if ends[0] * ends[1] > 0:
        return None
    return made(brentq(lambda place: made(place).sd - norm.sd, least, most, xtol=1e-5))


def reachable(items: TraitItems, mean: float) -> tuple[float, float]:
    """The least and the most that the standard deviation of a mean score can be."""
    shapes = [(_FLATTEST, 0.0), (_STEEPEST, 0.0)] if items.binary else [(DISCRIMINATIONS[0], _WIDEST), (_STEEPEST, 0.0)]
    spreads = [_at_mean(items, mean, a, d).sd for a, d in shapes]
    return min(spreads), max(spreads)


def _at_mean(items: TraitItems, mean: float, a: float, d: float) -> GradedTrait:
    """The model with this mean score."""
    # d * inf is inf, and of no item that has the threshold
    relative = (d * items.offsets if d else np.where(np.isinf(items.offsets), np.inf, 0.0)) + a * items.shifts[:, None]

    def missed(place: float) -> float:
        return float(DENSITY @ _curve(items, a, relative + place)) - mean

    bound = 10 * a + d + 30
    thresholds = relative + brentq(missed, -bound, bound, xtol=1e-7)
    curve, noise = _curve(items, a, thresholds), _noise(items, a, thresholds)
    variance = float(DENSITY @ (curve - mean) ** 2 + DENSITY @ noise)
    return GradedTrait(items, a, thresholds, curve, float(np.sqrt(variance)))


def at_least(theta: FloatArray, a: float, thresholds: FloatArray) -> FloatArray:
    """P(Y >= k) of people [P] by items' thresholds [N, K - 1] -> [P, N, K - 1]."""
    chances: FloatArray = expit(a * theta[:, None, None] - thresholds)
    return chances


def _curve(items: TraitItems, a: float, thresholds: FloatArray) -> FloatArray:
    scores = items.lowest + (at_least(THETA, a, thresholds) * items.steps).sum(axis=-1)
    curve: FloatArray = scores @ items.weights
    return curve


def _noise(items: TraitItems, a: float, thresholds: FloatArray) -> FloatArray:
    """Variance of the mean score of people who are the same, at THETA."""
    chances = at_least(THETA, a, thresholds)
    above = np.cumsum(items.steps, axis=1)  # over the lowest
    squares = np.diff(above**2, axis=1, prepend=0.0)
    mean, square = (chances * items.steps).sum(axis=-1), (chances * squares).sum(axis=-1)
    noise: FloatArray = (square - mean**2) @ items.weights**2
    return noise
