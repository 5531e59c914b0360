"""Panels with known parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.psychometrics.panel import Panel

Floats = NDArray[np.float64]


def panel(people: Floats, answers: Floats, traits: Sequence[str], expected: Floats | None = None) -> Panel:
    """A panel of keyed answers on 1..5."""
    count = people.shape[1]
    return Panel(
        "letters",
        "pas",
        "4",
        tuple(f"p{row}" for row in range(len(people))),
        tuple(f"i{column}" for column in range(count)),
        tuple(traits),
        np.full(count, 1.0),
        np.full(count, 5.0),
        people,
        answers if expected is None else expected,
        answers,
    )


def graded_answers(theta: Floats, a: Floats, thresholds: Floats, rng: np.random.Generator) -> Floats:
    """Answers 1.. [P, I] of a graded response model: P(Y >= k) = 1 / (1 + exp(-(a theta - threshold)))."""
    chances = 1 / (1 + np.exp(thresholds - a[:, None] * theta[:, None, None]))
    return 1.0 + (rng.random((len(theta), len(a), 1)) < chances).sum(axis=-1)
