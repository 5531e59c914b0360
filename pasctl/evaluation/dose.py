"""The dose of steering: how far head outputs are moved beside how long they are, and the largest one that is taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.intervals import mean_interval

Floats = NDArray[np.float64]

DOSES = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3)
"""Relative doses that are tried: norm of the steering delta over the RMS norm of the head outputs that it is added to.

The unit is free of the model: on models of other widths, depths and scales of activation the same doses do about as
much."""
LEVEL = 0.95


def unit_dose(sigma: NDArray[np.float32], rms: float) -> float:
    """The relative dose of alpha 1, median over personas, from sigma [P, K] and the heads' RMS norm together.

    Raises:
        InputError: head outputs of length 0, or directions without length.
    """
    norm = float(np.median(np.linalg.norm(sigma.astype(np.float64), axis=1)))
    if not (np.isfinite(rms) and rms > 0 and norm > 0):
        raise InputError(f"dose: expected directions and head outputs of some length, found {norm:g} and {rms:g}")
    return norm / rms


def effects_of(moved: Floats, agreements: Floats) -> Floats:
    """How well what steering moves agrees with what each persona says, [A, P].

    Pearson's r over a persona's answered items of the change in log-probability with the agreement, both less the
    item's mean over the personas who answered it, where these are two or more. NaN for personas without answers, and
    where nothing is moved.

    Args:
        moved: change of each item's log-probability [A, P, I].
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


def choose_dose(effects: Floats, kl: Floats, budget: float) -> int:
    """The place of the strength to take: the last one within the budget, or 0 where steering has no effect there.

    There is an effect where the 95% interval of its mean over personas lies above 0 (Student's t), or its mean does,
    of fewer than three personas. Personas without answers have none that could be measured: the budget alone decides.

    Args:
        effects: of each strength on each persona [A, P], see `effects_of`.
        kl: of neutral text, in nats/token [A, P].
        budget: largest mean of `kl` over personas.
    """
    within = np.flatnonzero(kl.mean(axis=1) <= budget)
    place = int(within[np.argmax(kl.mean(axis=1)[within])]) if len(within) else 0
    known = effects[place][np.isfinite(effects[place])]
    if place == 0 or not len(known):
        return place
    estimate = mean_interval(known, level=LEVEL)
    return place if (estimate.low if estimate else known.mean()) > 0 else 0


def _centred(values: Floats, answered: NDArray[np.bool_], several: NDArray[np.bool_]) -> Floats:
    """Less each item's mean over the personas who answered it; left as it is where there is one of them."""
    total = np.where(answered, values, 0.0).sum(axis=0)
    mean: Floats = np.where(several, total / np.maximum(answered.sum(axis=0), 1), 0.0)
    return values - mean
