"""Linear classifiers of scikit-learn as probes, for comparison: one fit per persona and head, and so slow.

`sklearn:LogisticRegression` finds the weights that the batched `logistic` finds, 88 to 261 times slower (tests/bench).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pasctl.probes.scaling import scale_rows


@dataclass(frozen=True)
class Estimator(ABC):
    """A linear classifier of scikit-learn, fitted on the scaled head outputs of one persona and head at a time."""

    @abstractmethod
    def new(self) -> Any:
        """A classifier that is not fitted; it has `coef_` and `intercept_` once it is."""

    def fit(self, rows: Tensor, labels: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Rows float64 [H, R, D], labels and usable float64 [P, R] -> weights [P, H, D] and bias [P, H]."""
        scaled = scale_rows(rows)
        people, heads, dim = len(labels), len(rows), rows.shape[2]
        weights, bias = np.zeros((people, heads, dim)), np.zeros((people, heads))
        for person in range(people):
            kept = usable[person].bool()
            y = labels[person, kept].numpy()
            for head in range(heads):
                fitted = self.new().fit(scaled.rows[head, kept].numpy(), y)
                weights[person, head], bias[person, head] = np.ravel(fitted.coef_), np.ravel(fitted.intercept_)[0]
        return scaled.undo(torch.from_numpy(weights), torch.from_numpy(bias))


@dataclass(frozen=True)
class LDA(Estimator):
    """Linear discriminant analysis; `shrinkage` from 0 to 1 needs the solver lsqr or eigen, which are the default."""

    shrinkage: float = 0.5
    solver: Literal["lsqr", "eigen"] = "lsqr"

    def new(self) -> Any:
        """A classifier that is not fitted."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        return LinearDiscriminantAnalysis(solver=self.solver, shrinkage=self.shrinkage)


@dataclass(frozen=True)
class Logistic(Estimator):
    """L2 logistic regression; `c` is the inverse strength of the penalty."""

    c: float = 1.0
    max_iter: int = 1000
    tol: float = 1e-4

    def new(self) -> Any:
        """A classifier that is not fitted."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self.c, max_iter=self.max_iter, tol=self.tol)


@dataclass(frozen=True)
class SVM(Estimator):
    """Linear support vector machine; `c` is the inverse strength of the penalty."""

    c: float = 1.0
    loss: Literal["hinge", "squared_hinge"] = "squared_hinge"
    max_iter: int = 10_000

    def new(self) -> Any:
        """A classifier that is not fitted."""
        from sklearn.svm import LinearSVC

        return LinearSVC(C=self.c, loss=self.loss, max_iter=self.max_iter, random_state=0)


@dataclass(frozen=True)
class Ridge(Estimator):
    """Least squares on -1 and 1; `c` is the inverse strength of the penalty."""

    c: float = 1.0

    def new(self) -> Any:
        """A classifier that is not fitted."""
        from sklearn.linear_model import RidgeClassifier

        return RidgeClassifier(alpha=1 / self.c)
