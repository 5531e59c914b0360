"""How well scores tell two kinds of texts apart: the AUC, with an interval over prompts that is paired by prompt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pasctl.evaluation.intervals import LEVEL

Floats = NDArray[np.float64]

FEWEST_PROMPTS = 8
"""Prompts that an interval of an AUC needs: with fewer, it says next to nothing."""
_GRID = 2001  # AUCs that an interval's ends are looked for among
_NARROWEST, _WIDEST = 0.5, 2.0  # the paired variance, over that of independent texts


class Auc(NamedTuple):
    """The probability that a + text scores higher than a - text, its interval, and the prompts."""

    auc: float
    low: float | None
    high: float | None
    prompts: int

    @property
    def differs(self) -> bool:
        """Whether the interval excludes .5, the AUC of scores that say nothing."""
        return self.low is not None and self.high is not None and not self.low <= 0.5 <= self.high

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{_short(self.auc)}"
        return f"{_short(self.auc)} [{_short(self.low)}, {_short(self.high)}]"


def paired_auc(plus: ArrayLike, minus: ArrayLike, *, level: float = LEVEL, fewest: int = FEWEST_PROMPTS) -> Auc | None:
    """The AUC of one + and one - score per prompt; prompts that lack either are left out.

    The interval has the AUCs A whose distance from the one that was seen is at most t standard errors under A (a score
    interval: it keeps its level near 0 and 1, where others have no width), with

        var(A) = r HM(A),  HM(A) = A (1 - A) (1 + (n - 1) ((1 - A) / (2 - A) + A / (1 + A))) / n^2

    HM is the variance for independent texts (Hanley and McNeil 1982; interval: Newcombe 2006, method 5), and r the
    paired DeLong variance over HM at the AUC that was seen, within 1/2 to 2: two texts on one prompt go together. In
    simulations (tests/evaluation/test_auc.py) it covers the truth in 93-99% of the cases from 8 prompts on.

    Args:
        plus: score of the + text on each prompt [n], NaN where there is none.
        minus: the same of the - texts.
        level: of the interval.
        fewest: prompts that an interval needs.

    Returns:
        None without a prompt that has both.
    """
    x, y = np.asarray(plus, dtype=np.float64), np.asarray(minus, dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if not len(x):
        return None
    wins = (x[:, None] > y).astype(np.float64) + 0.5 * (x[:, None] == y)
    auc, n = float(wins.mean()), len(x)
    if n < max(fewest, 2):
        return Auc(auc, None, None, n)
    low, high = _score_interval(wins, level)
    return Auc(auc, min(low, auc), max(high, auc), n)


def _score_interval(wins: Floats, level: float) -> tuple[float, float]:
    """The ends of the interval, from the comparison of each + text with each - text [n, n]."""
    from scipy.special import stdtrit

    n, auc = len(wins), float(wins.mean())
    # DeLong's components of prompt i: the share of - texts that its + text beats, and of + texts that beat its - text
    components = wins.mean(axis=1) + wins.mean(axis=0) - 2 * auc
    paired = float(components @ components) / (n * (n - 1))
    shrunk = (auc * n + 0.5) / (n + 1)  # HM is 0 at 0 and 1
    ratio = float(np.clip(paired / _independent(np.array(shrunk), n), _NARROWEST, _WIDEST))
    grid = np.linspace(0, 1, _GRID)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * np.sqrt(ratio * _independent(grid, n))
    inside = grid[np.abs(grid - auc) <= half + 1e-12]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (auc, auc)


def _independent(auc: Floats, n: int) -> Floats:
    """Hanley and McNeil's variance of an AUC of n + and n - texts that have nothing to do with each other."""
    excess: Floats = auc * (1 - auc) * (1 + (n - 1) * ((1 - auc) / (2 - auc) + auc / (1 + auc))) / n**2
    return excess


def _short(value: float) -> str:
    """Two digits without the 0 before the point: .87, 1.00."""
    text = f"{value:.2f}"
    return text.removeprefix("0") if text.startswith("0.") else text
