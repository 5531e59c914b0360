"""The dose of steering: how far head outputs are moved beside how long they are, and the largest one that is taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.intervals import mean_interval
from pasctl.evaluation.scores import row_means

Floats = NDArray[np.float64]

DOSES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Relative doses that are tried: norm of the steering delta over the RMS norm of the head outputs that it is added to.

The unit is free of the model: on models of other widths, depths and scales of activation the same doses do about as
much. Side effects grow with the square of the dose."""
LEVEL = 0.95
MODEST = 0.2
"""The largest dose that is tried where no effect can be measured. Well within the KL budget, a contrast of two
descriptions made SmolLM2 repeat itself at .4."""


def unit_doses(sigma: NDArray[np.float32], rms: float) -> Floats:
    """The relative dose of alpha 1 for each persona [P], from sigma [P, K] and the heads' RMS norm together.

    Raises:
        InputError: head outputs of length 0, or directions without length.
    """
    norms: Floats = np.linalg.norm(sigma.astype(np.float64), axis=1)
    if not (np.isfinite(rms) and rms > 0 and np.median(norms) > 0):
        raise InputError(f"dose: expected directions and head outputs of some length, found {norms} and {rms:g}")
    return norms / rms


def likeness_of_change(moved: Floats, agreements: Floats) -> Floats:
    """How well what steering moves agrees with what each persona says, [A, P].

    Pearson's r over a persona's answered items of the change with the agreement, both less the item's mean over the
    personas who answered it, where these are two or more. NaN for personas without answers, and where nothing is moved.

    Args:
        moved: change of each item's log-probability, or expected agreement [A, P, I].
        agreements: [P, I], NaN where missing.
    """
    answered = np.isfinite(agreements)
    several = answered.sum(axis=0) > 1
    effects = np.full(moved.shape[:2], np.nan)
    for place, dlp in enumerate(moved):
        x, y = (_centred(values, answered, several) for values in (dlp, agreements))
        for person, rows in enumerate(answered):
            a, b = x[person, rows], y[person, rows]
            if rows.sum() >= 3 and a.std() > 1e-9 and b.std() > 1e-9:
                effects[place, person] = np.corrcoef(a, b)[0, 1]
    return effects


def errors_saved(expected: Floats, agreements: Floats) -> Floats:
    """By how much steering brings answers nearer to each persona's, in points of the scale [A, P].

    The mean absolute error over a persona's answered items without steering, which is the first strength, less that
    with it; NaN for personas without answers.

    Args:
        expected: expected agreement with each item [A, P, I].
        agreements: [P, I], NaN where missing.
    """
    errors = np.stack([row_means(np.abs(values - agreements)) for values in expected])
    return errors[:1] - errors


def choose_dose(likeness: Floats, kl: Floats, budget: float, saved: Floats | None = None) -> int:
    """The place of the strength to take, of those within the budget; 0 for none where steering has no effect.

    Where it is known how much nearer answers come, the strength that saves most error on average over the personas.
    Else the largest whose mean likeness is within one standard error of the best, of the paired difference over
    personas: likeness says nothing of how far anything is moved.

    There is an effect where the 95% interval of the mean likeness over personas lies above 0 (Student's t), or its mean
    does, of fewer than three personas. Likeness is tested and not the error, since a persona near the mean has little
    error to save, and with few personas that scatter would hide any effect. Personas without answers have none that
    could be measured: then it is the largest strength within the budget.

    Args:
        likeness: of each strength on each persona [A, P], the first being no steering; see `likeness_of_change`.
        kl: of neutral text, in nats/token [A, P].
        budget: largest mean of `kl` over personas.
        saved: errors that each strength saves [A, P], see `errors_saved`; None where no error is known.
    """
    cost = kl.mean(axis=1)
    within = np.flatnonzero(cost <= budget)
    known = np.isfinite(likeness[1:]).all(axis=0)
    if not known.any():
        return int(within[np.argmax(cost[within])])
    steered = within[within > 0]
    if not len(steered):
        return 0
    means = (likeness if saved is None else saved)[:, known].mean(axis=1)
    best = int(steered[np.argmax(means[steered])])
    if saved is None:
        best = max(steered, key=lambda place: (_as_good(likeness[best, known], likeness[place, known]), cost[place]))
    values = likeness[best, known]
    estimate = mean_interval(values, level=LEVEL)
    return int(best) if (estimate.low if estimate else values.mean()) > 0 else 0


def _as_good(best: Floats, other: Floats) -> bool:
    """Whether likeness is not clearly smaller than the best, from values of the same personas [P]."""
    worse = best - other
    error = worse.std(ddof=1) / np.sqrt(len(worse)) if len(worse) > 1 else 0.0
    return bool(worse.mean() <= error)


def within_budget(alpha: float, units: Floats, kl: float, dose: float, budget: float) -> Floats:
    """Each persona's alpha [P]: `alpha`, or less where it would break the budget, as KL grows with the dose squared.

    Args:
        alpha: the strength chosen.
        units: relative dose of alpha 1 for each persona [P].
        kl: mean KL that was measured, in nats/token, at a mean square dose of `dose` squared.
        dose: root mean square of the doses that it was measured at.
        budget: in nats/token.
    """
    if alpha == 0 or kl <= 0:
        return np.full(len(units), alpha)
    most = dose * np.sqrt(budget / kl) / np.where(units > 0, units, np.inf)
    limited = np.minimum(abs(alpha), np.where(units > 0, most, np.inf))
    step = 10.0 ** (np.floor(np.log10(limited)) - 2)
    rounded = np.where(limited < abs(alpha), np.floor(limited / step) * step, limited)  # down to three digits
    signed: Floats = np.sign(alpha) * np.array([float(f"{value:.3g}") for value in rounded])
    return signed


def kl_at(strength: float, strengths: Floats, kl: Floats) -> float:
    """The KL to be expected of a strength, from those measured at others.

    Between two of them it lies on the line over the squared strength, and beyond the largest on the line through 0 and
    that one: there it is a lower bound as a rule.

    Args:
        strength: at least 0, in alpha or dose.
        strengths: where KL was measured, [A], at least 0.
        kl: what it was, [A].
    """
    order = np.argsort(strengths)
    squares, values = np.square(strengths[order]), kl[order]
    if squares[0] > 0:  # the model left alone has none
        squares, values = np.insert(squares, 0, 0.0), np.insert(values, 0, 0.0)
    if strength**2 > squares[-1] > 0:
        return float(values[-1] * strength**2 / squares[-1])
    return float(np.interp(strength**2, squares, values))


def _centred(values: Floats, answered: NDArray[np.bool_], several: NDArray[np.bool_]) -> Floats:
    """Less each item's mean over the personas who answered it; left as it is where there is one of them."""
    total = np.where(answered, values, 0.0).sum(axis=0)
    mean: Floats = np.where(several, total / np.maximum(answered.sum(axis=0), 1), 0.0)
    return values - mean
