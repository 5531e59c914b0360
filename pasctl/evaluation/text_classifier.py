"""A classifier of texts that is fitted on prompted, unsteered ones: which of two descriptions wrote this?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pasctl.errors import InputError

Floats = NDArray[np.float64]

FEWEST_TEXTS = 4
"""Texts of each side that a classifier needs."""


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """Logistic regression on standardised features.

        P(+) = 1 / (1 + exp(-(w . (x - mean) / std + b)))

    Attributes:
        mean: of each feature over the texts it was fitted on [F].
        std: the same [F]; 1 for a feature that does not vary.
        weights: w [F].
        bias: b.
        texts: texts it was fitted on.
    """

    mean: Floats
    std: Floats
    weights: Floats
    bias: float
    texts: int

    @classmethod
    def fit(cls, features: ArrayLike, plus: ArrayLike) -> TextClassifier:
        """Fit on texts of both sides; those with a missing feature are left out.

        Args:
            features: [N] or [N, F], such as log-odds, or sentence embeddings.
            plus: bool [N], whether the description + was in force.

        Raises:
            InputError: a side has fewer texts than `FEWEST_TEXTS`.
        """
        from sklearn.linear_model import LogisticRegression

        x, y = _columns(features), np.asarray(plus, dtype=np.bool_)
        known = np.isfinite(x).all(axis=1)
        x, y = x[known], y[known]
        least = int(min(y.sum(), (~y).sum()))
        if least < FEWEST_TEXTS:
            raise InputError(f"a classifier of texts needs {FEWEST_TEXTS} texts of each side, found {least}")
        mean, std = x.mean(axis=0), x.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        # standardised, F features have together the scale of one, whatever their number
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit((x - mean) / (std * np.sqrt(x.shape[1])), y)
        weights = fitted.coef_[0] / np.sqrt(x.shape[1])
        return cls(mean, std, weights, float(fitted.intercept_[0]), len(x))

    def score(self, features: ArrayLike) -> Floats:
        """Log-odds of + [N]; NaN where a feature is missing."""
        scores: Floats = (_columns(features) - self.mean) / self.std @ self.weights + self.bias
        return scores

    def p_plus(self, features: ArrayLike) -> Floats:
        """P(+) of each text [N]; NaN where a feature is missing."""
        from scipy.special import expit

        p: Floats = expit(self.score(features))
        return p

    def to_json(self) -> dict[str, Any]:
        """What results say of it."""
        known: dict[str, Any] = {"texts": self.texts, "features": len(self.weights), "bias": self.bias}
        if len(self.weights) == 1:
            known |= {"weight": float(self.weights[0] / self.std[0]), "mean": float(self.mean[0])}
        return known


def _columns(features: ArrayLike) -> Floats:
    x = np.asarray(features, dtype=np.float64)
    return x[:, None] if x.ndim == 1 else x
