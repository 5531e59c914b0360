"""The steering strength, chosen on items that nothing was fitted on: no stronger than the errors call for.

The lowest of several noisy errors is low by luck too, so whoever takes it steers where steering does nothing. The
one-standard-error rule (L. Breiman, J. H. Friedman, R. A. Olshen and C. J. Stone, "Classification and Regression
Trees", 1984, section 3.4.3) takes the simplest choice within one standard error of the best; here the simplest is the
strength nearest to 0. The book's standard error is that of the lowest error; this one is of the paired difference,
since the same items are answered at all strengths.

It is a rule of thumb and no test. Where steering moved answers at random and to no effect, 0 was chosen in this share
of 500 simulations, and in brackets had the lowest error in that share (tests/evaluation/test_choice.py: strengths
0, 1, 2, 4, 6, 8; 20 personas, 120 items; a population whose personas' answers move each in its own way, or alike):

    answers move                                 persona      population   population, alike
    in proportion to the strength                86% (51%)    92% (54%)    87% (51%)
    by a random walk from strength to strength   69% (24%)    78% (28%)    72% (25%)
    anew at each strength, 0 too                 58% (17%)    60% (15%)    57% (18%)

A population's standard error is the larger of two, over its personas and over the items: what steering does alike to
all personas on these items, by luck of the items, all of them show. By the one over personas alone the last column
was 73%, 44% and 32%.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.metrics import Floats
from pasctl.evaluation.scores import row_means

SCOPES = ("persona", "population")
RULE = "the strength nearest to 0 whose mean error on held-out items is within one standard error of the lowest"

Bools = NDArray[np.bool_]


def choose_alphas(errors: Floats, alphas: Sequence[float], scope: str, allowed: Bools | None = None) -> Floats:
    """The strength for each persona [P], by RULE.

    Strength a is taken where mean(e_a - e_best) < std(e_a - e_best, ddof 1) / sqrt(n), with e_best the errors at the
    strength of lowest mean error; of such strengths the one of smallest |a|, positive before negative.

    Args:
        errors: |expected - agreement| of each persona on each held-out item at each strength [A, P, I], NaN where the
            person did not answer. A persona's items count that have an error at every strength allowed to it.
        alphas: the A strengths, distinct, 0 among them.
        scope: "persona" chooses for each by itself, and e are its errors on its n items; 0 with fewer than two items.
            "population" chooses one strength for all, by the mean over personas of their mean errors. There e are
            these n means, or each item's mean error over personas, whichever has the larger standard error; of one
            persona only the latter has any.
        allowed: [A, P], or [A, 1] for all alike: whether a strength may be taken, such as within a KL budget. A
            population takes what is allowed for all of its personas. 0 always is.

    Raises:
        InputError: an unknown scope; strengths that repeat, are not finite or lack 0; shapes that do not fit.
    """
    strengths = _checked(alphas)
    if scope not in SCOPES:
        raise InputError(f"alpha scope: expected {' or '.join(SCOPES)}, found {scope!r}")
    if errors.ndim != 3 or len(errors) != len(strengths):
        raise InputError(f"errors: expected [{len(strengths)} alphas, personas, items], found {list(errors.shape)}")
    may = _allowed(allowed, strengths, errors.shape[1])
    if scope == "population":
        may = np.broadcast_to(may.all(axis=1, keepdims=True), may.shape)
    complete: Bools = np.all(np.isfinite(errors) | ~may[:, :, None], axis=0)  # [P, I]
    if scope == "persona":
        places = [
            _nearest_to_zero(errors[:, [persona]][:, :, answered], strengths, may[:, persona])
            for persona, answered in enumerate(complete)
        ]
        return strengths[places]
    found = _nearest_to_zero(np.where(complete, errors, np.nan), strengths, may[:, 0])
    return np.full(errors.shape[1], strengths[found])


def _nearest_to_zero(errors: Floats, strengths: Floats, allowed: Bools) -> int:
    """The place of the strength to take for these personas together, from their errors [A, P, I]."""
    order = [n for n in sorted(range(len(strengths)), key=lambda n: (abs(strengths[n]), -strengths[n])) if allowed[n]]
    means = np.stack([row_means(each) for each in errors])  # [A, P]
    answering = np.isfinite(means[order[0]])
    if np.isfinite(errors[order[0]]).sum() < 2:
        return order[0]
    best = min(order, key=lambda n: means[n, answering].mean())  # of equals the first in order
    for place in order:
        worse = errors[place] - errors[best]
        if place == best or row_means(worse)[answering].mean() < _standard_error(worse):
            return place
    return best


def _standard_error(worse: Floats) -> float:
    """Of the mean of differences [P, I]: over personas or over items, whichever is larger."""
    found = 0.0
    for units in (row_means(worse), row_means(worse.T)):
        values = units[np.isfinite(units)]
        if len(values) > 1:
            found = max(found, float(values.std(ddof=1) / np.sqrt(len(values))))
    return found


def _checked(alphas: Sequence[float]) -> Floats:
    """The strengths [A], -0 as 0."""
    strengths = np.asarray(alphas, dtype=np.float64) + 0.0
    told = ", ".join(f"{value:g}" for value in strengths.tolist())
    if not np.isfinite(strengths).all() or len(np.unique(strengths)) < len(strengths):
        raise InputError(f"alphas to choose from: expected distinct numbers, found {told}", hint="give each once")
    if 0.0 not in strengths:
        raise InputError(
            f"alphas to choose from: expected 0 among them, found {told or 'none'}",
            hint="add 0, which leaves the model alone: it is taken where steering does not help",
        )
    return strengths


def _allowed(allowed: NDArray[Any] | None, strengths: Floats, personas: int) -> Bools:
    """Which strength each persona may be given [A, P]."""
    shape = (len(strengths), personas)
    if allowed is None:
        return np.ones(shape, dtype=np.bool_)
    if allowed.shape not in (shape, (len(strengths), 1)):
        wanted = f"{list(shape)} or {[len(strengths), 1]}"
        raise InputError(f"allowed alphas: expected {wanted}, found {list(allowed.shape)}")
    may: Bools = np.broadcast_to(allowed, shape) | (strengths == 0)[:, None]
    return may
