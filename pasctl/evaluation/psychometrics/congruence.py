"""Whether a panel's items make the factors that people's items make: Tucker's phi after Procrustes rotation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pasctl.evaluation.psychometrics.panel import Floats, Panel

PERMUTATIONS = 20
"""Panels with shuffled columns that the chance level is the mean of."""
_TINY = 1e-9


class Congruence(NamedTuple):
    """How much the factors of a panel are the people's.

    Attributes:
        phi: trait -> Tucker's phi of its factor; 1 is the same but for its size.
        chance: phi of answers that say nothing of each other, mean over traits and permutations.
    """

    phi: dict[str, float]
    chance: float


def congruence(panel: Panel) -> Congruence | None:
    """Compare the principal components of the model's expected answers with those of the people's.

    There are as many components as traits. The people's are rotated to the key, where each trait's items load on their
    trait alone, and the model's to the people's. The chance level is that of the people's answers with each item's
    shuffled over persons: rotation finds some likeness in anything, the more factors to an item the more.

    Returns:
        None where fewer items differ between persons, on either side, than there are traits; or no more than two.
    """
    key = np.array([[float(trait == code) for code in panel.trait_codes] for trait in panel.traits])
    people = _standardized(panel.people)
    model = _standardized(panel.expected)
    for side in (people, model):
        if (np.abs(side).max(axis=0) > 0).sum() < max(3, key.shape[1] + 1):
            return None
    target = rotated(loadings(people, key.shape[1]), key)
    phi = tucker(rotated(loadings(model, key.shape[1]), target), target)
    rng = np.random.default_rng(0)
    by_chance = [
        tucker(rotated(loadings(rng.permuted(people, axis=0), key.shape[1]), target), target).mean()
        for _ in range(PERMUTATIONS)
    ]
    return Congruence(dict(zip(panel.trait_codes, map(float, phi), strict=True)), float(np.mean(by_chance)))


def loadings(standardized: Floats, count: int) -> Floats:
    """Correlations of items with their first principal components [I, T].

    Args:
        standardized: answers of mean 0 and variance 1 [P, I].
        count: T, the components.
    """
    _, sizes, axes = np.linalg.svd(standardized / np.sqrt(len(standardized)), full_matrices=False)
    table: Floats = np.zeros((standardized.shape[1], count))
    kept = min(count, len(sizes))
    table[:, :kept] = axes[:kept].T * sizes[:kept]
    return table


def rotated(table: Floats, target: Floats) -> Floats:
    """Loadings turned as near to the target as an orthogonal rotation brings them.

    With the singular value decomposition L'T = U S V', the rotation is U V' (P. H. Schoenemann, "A generalized solution
    of the orthogonal Procrustes problem", Psychometrika 31, 1966).
    """
    left, _, right = np.linalg.svd(table.T @ target)
    turned: Floats = table @ (left @ right)
    return turned


def tucker(first: Floats, second: Floats) -> Floats:
    """Tucker's phi of each column of two tables of loadings [I, T] -> [T]; 0 where one has no size.

        phi = sum_i x_i y_i / sqrt(sum_i x_i^2 sum_i y_i^2)

    (L. R. Tucker, "A method for synthesis of factor analysis studies", 1951.)
    """
    sizes = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    phi: Floats = (first * second).sum(axis=0) / np.maximum(sizes, _TINY)
    return phi


def _standardized(answers: Floats) -> Floats:
    """Columns of mean 0 and variance 1 [P, I]; a missing answer is the mean, a constant column is 0."""
    present = np.isfinite(answers)
    counts = np.maximum(present.sum(axis=0), 1)
    means = np.where(present, answers, 0.0).sum(axis=0) / counts
    centred = np.where(present, answers - means, 0.0)
    deviations = np.sqrt((centred**2).mean(axis=0))
    scaled: Floats = np.where(deviations > _TINY, centred / np.maximum(deviations, _TINY), 0.0)
    return scaled
