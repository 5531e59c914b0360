"""Correlations of trait scores: the matrix that an inventory's norms give, and that of the traits under the scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.optimize import brentq

from pasctl.errors import InputError
from pasctl.inventory.graded import DENSITY, THETA, GradedTrait
from pasctl.inventory.items import FloatArray, Inventory

_TERMS = 40  # of the expansion in Hermite polynomials
_LEAST = 1e-9  # of the smallest eigenvalue


class Unreachable(Exception):
    """Two traits whose scores cannot correlate as told; the arguments are their codes."""


def correlation_matrix(inventory: Inventory, traits: Sequence[str]) -> FloatArray:
    """The correlations of scores on some traits [T, T]; what the norms do not name is 0.

    Raises:
        InputError: a trait that is none, a correlation that is none or is told twice, or a matrix that is not positive
            definite.
    """
    place = {trait: row for row, trait in enumerate(traits)}
    known = {trait.code for trait in inventory.known_traits}
    matrix, seen = np.eye(len(traits)), dict[frozenset[str], float]()
    for first, second, r in inventory.norms.correlations:
        pair = frozenset((first, second))
        if len(pair) < 2 or not pair <= known:
            raise InputError(
                f"inventory {inventory.name}: a correlation is of two traits, found {first} and {second}",
                hint=f"traits are {', '.join(place)}",
            )
        if not -1 < r < 1:
            raise InputError(
                f"inventory {inventory.name}: the correlation of {first} and {second} is {r:g}, expected one between "
                "-1 and 1",
                hint="mend it in the inventory file",
            )
        if seen.setdefault(pair, r) != r:
            raise InputError(
                f"inventory {inventory.name}: two correlations of {first} and {second}: {seen[pair]:g} and {r:g}",
                hint="leave one of them in the inventory file",
            )
        if pair <= place.keys():
            matrix[place[first], place[second]] = matrix[place[second], place[first]] = r
    if np.linalg.eigvalsh(matrix)[0] < _LEAST:
        row, column = _misfit(matrix)
        raise InputError(
            f"inventory {inventory.name}: the correlations are not positive definite: {matrix[row, column]:g} of "
            f"{traits[row]} and {traits[column]} does not go with the others",
            hint="mend it in the inventory file; what is not named is 0",
        )
    return matrix


def latent_correlations(matrix: FloatArray, models: Sequence[GradedTrait], traits: Sequence[str]) -> FloatArray:
    """The correlations of the traits [T, T] that give mean scores these [T, T].

    Scores are noisy and bent, and so correlate less than the traits under them. With theta_1 and theta_2 correlated by
    rho, the covariance of f(theta_1) and g(theta_2) is the sum over k of f_k g_k rho^k, where f_k and g_k are their
    coefficients in normalised Hermite polynomials (Mehler's formula).

    Raises:
        Unreachable: the answers are too noisy for that.
    """
    latent, series = np.eye(len(models)), [_hermite(model.curve) for model in models]
    for row, column in combinations(range(len(models)), 2):
        covariance = matrix[row, column] * models[row].sd * models[column].sd
        if not covariance:
            continue
        terms = series[row] * series[column]

        def missed(rho: float, terms: FloatArray = terms, covariance: float = covariance) -> float:
            return float(terms @ rho ** np.arange(1, _TERMS + 1)) - covariance

        if missed(-0.999) > 0 or missed(0.999) < 0:
            raise Unreachable(traits[row], traits[column])
        latent[row, column] = latent[column, row] = brentq(missed, -0.999, 0.999)
    if np.linalg.eigvalsh(latent)[0] < _LEAST:
        row, column = _misfit(latent)
        raise Unreachable(traits[row], traits[column])
    return latent


def _misfit(matrix: FloatArray) -> tuple[int, int]:
    """The pair without whose correlation the matrix is nearest to positive definite."""

    def without(pair: tuple[int, int]) -> float:
        other = matrix.copy()
        other[pair] = other[pair[::-1]] = 0.0
        return float(np.linalg.eigvalsh(other)[0])

    return max((pair for pair in combinations(range(len(matrix)), 2) if matrix[pair]), key=without)


def _hermite(curve: FloatArray) -> FloatArray:
    """Coefficients 1 .. _TERMS of a function of a standard normal variable."""
    before, now = np.ones_like(THETA), THETA
    coefficients = []
    for k in range(1, _TERMS + 1):
        coefficients.append(float(DENSITY @ (curve * now)))
        before, now = now, (THETA * now - np.sqrt(k) * before) / np.sqrt(k + 1)
    return np.array(coefficients)
