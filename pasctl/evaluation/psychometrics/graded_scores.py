"""Where persons stand on a trait by their answers, and how well single answers go with that place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from pasctl.evaluation.psychometrics.graded_fit import LOG_WEIGHTS, NODES, GradedItems
from pasctl.evaluation.psychometrics.panel import Floats
from pasctl.evaluation.scores import row_means

_LEAST_VARIANCE = 1e-3


class Theta(NamedTuple):
    """Each person's theta, the posterior mean over people (EAP), and its standard error, the posterior's sd [P]."""

    estimate: Floats
    error: Floats


class Group(NamedTuple):
    """Mean and standard deviation of a group's theta, where people's are 0 and 1."""

    mean: float
    deviation: float


PEOPLE = Group(0.0, 1.0)


def thetas(items: GradedItems, answers: Floats) -> Theta:
    """EAP estimates with people's distribution as prior.

    R. D. Bock and R. J. Mislevy, "Adaptive EAP estimation of ability", Applied Psychological Measurement 6, 1982.

    Args:
        items: fitted on people.
        answers: keyed answers [P, N] of people or of a model, NaN where missing; a score that none of the people gave
            counts as the nearest that somebody gave.
    """
    weights = _posterior(items, answers, PEOPLE)
    estimate = weights @ NODES
    return Theta(estimate, np.sqrt(np.maximum(weights @ NODES**2 - estimate**2, 0.0)))


def outfit(items: GradedItems, answers: Floats) -> Floats:
    """The mean squared standardised residual of each item [N]: near 1 where answers are as the model has them.

        mean over persons of (y - E)^2 / V

    with mean E and variance V of an answer, given the person's answers to the other items: with the own answer among
    them, steep items would seem to fit too well (compare B. D. Wright and G. N. Masters, "Rating scale analysis",
    1982). Far above 1, answers do not follow the trait; far below, they follow it more strictly than people's do. NaN
    for an item without answers.
    """
    categories = items.categories(answers)
    chances = items.chances(NODES)  # [N, Q, K]
    own = np.take_along_axis(np.log(chances)[None], np.maximum(categories, 0)[:, :, None, None], axis=3)[
        ..., 0
    ]  # [P, N, Q]
    own = np.where(categories[..., None] >= 0, own, 0.0)
    rest = own.sum(axis=1, keepdims=True) - own + LOG_WEIGHTS
    weights = np.exp(rest - logsumexp(rest, axis=2, keepdims=True))
    scores = np.nan_to_num(items.scores)[:, None, :]
    mean, square = (np.einsum("pnq,nq->pn", weights, (chances * scores**power).sum(axis=2)) for power in (1, 2))
    squares = (observed_scores(items, answers) - mean) ** 2 / np.maximum(square - mean**2, _LEAST_VARIANCE)
    return row_means(squares.T)


def residuals(items: GradedItems, answers: Floats, group: Group) -> Floats:
    """Each answer less its expectation, given all of the person's answers [P, N]; NaN where missing.

    The expectation is over the posterior of theta with the group's own distribution as prior. So the mean over the
    group is 0 where the items are the same in it as in people, wherever the group stands.
    """
    weights = _posterior(items, answers, group)
    chances = items.chances(group.mean + group.deviation * NODES)
    means = (chances * np.nan_to_num(items.scores)[:, None, :]).sum(axis=2)  # [N, Q]
    left: Floats = observed_scores(items, answers) - weights @ means.T
    return left


def observed_scores(items: GradedItems, answers: Floats) -> Floats:
    """The answers [P, N] as scores that people gave."""
    categories = items.categories(answers)
    scores = np.take_along_axis(items.scores.T, np.maximum(categories, 0), axis=0)
    return np.where(categories >= 0, scores, np.nan)


def _posterior(items: GradedItems, answers: Floats, group: Group) -> Floats:
    """Of theta at the group's nodes, per person [P, Q]."""
    places = group.mean + group.deviation * NODES
    joint = items.log_likelihoods(items.categories(answers), places) + LOG_WEIGHTS
    weights: Floats = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return weights
