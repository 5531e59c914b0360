"""A graded response model of one trait, fitted on people by marginal maximum likelihood.

With theta standard normal over people, the probability that a keyed answer Y to item i is at least category k is

    P(Y >= k) = 1 / (1 + exp(-(a_i theta - b_ik))),   b_i1 < b_i2 < ..

(F. Samejima, "Estimation of latent ability using a response pattern of graded scores", Psychometrika Monograph 17,
1969). The likelihood integrates theta out by Gauss-Hermite quadrature. Its gradient is that of Fisher's identity, the
expected complete-data score that EM solves for (R. D. Bock and M. Aitkin, Psychometrika 46, 1981), so that both end at
the same parameters. Weak priors, log a ~ N(0.5, 1) and b ~ N(0, 5^2), keep the items of small panels finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from pasctl.evaluation.psychometrics.panel import Floats, Ints

NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
LOG_WEIGHTS = np.log(_WEIGHTS / _WEIGHTS.sum())
"""Of the standard normal distribution at NODES."""
_SLOPE, _SLOPE_SD, _PLACE_SD = 0.5, 1.0, 5.0
_LEAST = 1e-12
_WIDEST = 6.0  # |log| of a slope and of a distance of thresholds
_NARROWEST = 3.0  # |log| of a standard deviation


@dataclass(frozen=True, eq=False)
class GradedItems:
    """The items of a trait.

    Attributes:
        slopes: a [N].
        thresholds: b [N, K - 1], increasing; inf beyond an item's last.
        scores: what the categories score [N, K], NaN beyond an item's last.
    """

    slopes: Floats
    thresholds: Floats
    scores: Floats

    def chances(self, theta: Floats) -> Floats:
        """P(Y = k) [N, Q, K] at Q places."""
        above = _above(self.slopes, self.thresholds, theta)
        return np.maximum(above[..., :-1] - above[..., 1:], _LEAST)

    def categories(self, answers: Floats) -> Ints:
        """The category of each answer [P, N], the nearest one where people never gave that score; -1 where missing."""
        far = np.where(np.isnan(self.scores), np.inf, np.abs(np.nan_to_num(answers)[..., None] - self.scores))
        return np.where(np.isfinite(answers), far.argmin(axis=-1), -1)

    def log_likelihoods(self, categories: Ints, theta: Floats) -> Floats:
        """Of each person's answers at each place [P, Q]; a missing answer says nothing."""
        values: Floats = _one_hot(categories, self.scores.shape[1]) @ _flat(np.log(self.chances(theta)))
        return values


def fit_graded(answers: Floats) -> GradedItems:
    """Slopes and thresholds of the items, where the persons' theta is standard normal.

    Args:
        answers: people's keyed answers [P, N], NaN where missing. Each item has two scores at least; the categories
            are those that somebody chose.
    """
    return fit_groups(answers, None)[0]


def fit_groups(people: Floats, model: Floats | None) -> tuple[GradedItems, float, float]:
    """Items that are the same for both groups, and the mean and standard deviation of the second group's theta."""
    scores = _scores(people if model is None else np.vstack([people, model]))
    shape = GradedItems(np.ones(len(scores)), np.full((len(scores), scores.shape[1] - 1), np.inf), scores)
    picked = [_one_hot(shape.categories(each), scores.shape[1]) for each in (people, model) if each is not None]
    real = np.isfinite(scores[:, 1:])  # thresholds that an item has
    start = np.zeros(real.shape)
    start[:, 0] = _first_threshold(picked[0], scores)
    count, free = len(scores), (-_WIDEST, _WIDEST)
    packed = np.concatenate([np.full(count, _SLOPE), start.ravel(), np.zeros(2)])
    places = [(None, None) if column == 0 else free for _ in range(count) for column in range(real.shape[1])]
    bounds = [*[free] * count, *places, (None, None), (-_NARROWEST, _NARROWEST)]
    solved = minimize(
        _objective,
        packed,
        args=(picked, real),
        method="L-BFGS-B",
        jac=True,
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-8},
    )
    slopes, thresholds = _unpacked(solved.x[:-2], real)
    return GradedItems(slopes, thresholds, scores), float(solved.x[-2]), float(np.exp(solved.x[-1]))


class _Score(NamedTuple):
    """The log-likelihood of a group, and its derivatives: by log slopes, thresholds, and theta at each node."""

    value: float
    slopes: Floats
    thresholds: Floats
    places: Floats


def _objective(packed: Floats, picked: list[Floats], real: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Minus the log posterior of packed parameters, and its gradient."""
    count = len(real)
    slopes, thresholds = _unpacked(packed[:-2], real)
    mean, deviation = packed[-2], np.exp(packed[-1])
    places = [NODES, mean + deviation * NODES][: len(picked)]
    groups = [_score(slopes, thresholds, answers, theta) for answers, theta in zip(picked, places, strict=True)]
    low, placed = packed[:count] - _SLOPE, np.where(real, thresholds, 0.0)
    loss = float((low**2).sum()) / (2 * _SLOPE_SD**2) + float((placed**2).sum()) / (2 * _PLACE_SD**2)
    loss -= sum(group.value for group in groups)
    of_slope = low / _SLOPE_SD**2 - np.sum([group.slopes for group in groups], axis=0)
    of_threshold = np.where(real, placed / _PLACE_SD**2 - np.sum([group.thresholds for group in groups], axis=0), 0.0)
    # each later threshold is the first plus exp of the steps between
    later = np.cumsum(of_threshold[:, ::-1], axis=1)[:, ::-1]
    of_step = np.where(real, later * np.exp(packed[count:-2].reshape(real.shape)), 0.0)
    of_step[:, 0] = later[:, 0]
    of_theta = groups[1].places if len(groups) > 1 else np.zeros(len(NODES))
    of_group = [-of_theta.sum(), -(of_theta @ NODES) * deviation]
    return loss, np.concatenate([of_slope, of_step.ravel(), of_group])


def _score(slopes: Floats, thresholds: Floats, picked: Floats, theta: Floats) -> _Score:
    """Of answers [P, N K], one-hot, whose theta is at each of these places with the weights of the nodes."""
    above = _above(slopes, thresholds, theta)  # [N, Q, K + 1]
    chances = np.maximum(above[..., :-1] - above[..., 1:], _LEAST)
    joint = picked @ _flat(np.log(chances)) + LOG_WEIGHTS
    of_person = logsumexp(joint, axis=1, keepdims=True)
    weights = np.exp(joint - of_person)  # [P, Q]
    counts = (weights.T @ picked).reshape(len(theta), len(slopes), -1).transpose(1, 0, 2)
    ratios, inner = counts / chances, above[..., 1:-1]
    pull = inner * (1 - inner) * (ratios[..., 1:] - ratios[..., :-1])  # by a theta - b_k [N, Q, K - 1]
    of_place = pull.sum(axis=2)
    by_slope = (of_place * theta).sum(axis=1) * slopes
    return _Score(float(of_person.sum()), by_slope, -pull.sum(axis=1), slopes @ of_place)


def _unpacked(packed: Floats, real: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    count = len(real)
    places = packed[count:].reshape(real.shape).copy()
    places[:, 1:] = np.exp(places[:, 1:])
    return np.exp(packed[:count]), np.where(real, np.cumsum(places, axis=1), np.inf)


def _above(slopes: Floats, thresholds: Floats, theta: Floats) -> Floats:
    """P(Y >= k) [N, Q, K + 1], from 1 to 0."""
    inner = expit(slopes[:, None, None] * theta[:, None] - thresholds[:, None, :])
    first, last = ((0, 0), (0, 0), (1, 0)), ((0, 0), (0, 0), (0, 1))
    above: Floats = np.pad(np.pad(inner, first, constant_values=1.0), last)
    return above


def _flat(values: Floats) -> Floats:
    """[N, Q, K] -> [N K, Q]."""
    flat: Floats = values.transpose(0, 2, 1).reshape(-1, values.shape[1])
    return flat


def _one_hot(categories: Ints, levels: int) -> Floats:
    """[P, N] -> [P, N K], nothing for -1."""
    picked: Floats = (categories[..., None] == np.arange(levels)).astype(np.float64)
    return picked.reshape(len(categories), -1)


def _scores(answers: Floats) -> Floats:
    """The scores that somebody gave each item, ascending [N, K], NaN beyond its last."""
    levels = [np.unique(column[np.isfinite(column)]) for column in answers.T]
    width = max(map(len, levels))
    return np.array([np.pad(of_item, (0, width - len(of_item)), constant_values=np.nan) for of_item in levels])


def _first_threshold(picked: Floats, scores: Floats) -> Floats:
    """Where a fit begins: the logit of the share of the lowest category."""
    counts = picked.reshape(len(picked), *scores.shape).sum(axis=0)
    share = (counts[:, 0] + 0.5) / (counts.sum(axis=1) + 1.0)
    start: Floats = np.log(share / (1 - share))
    return start
