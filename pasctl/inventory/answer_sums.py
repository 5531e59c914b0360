"""Sums over respondents from which every correlation of the coding proof follows; parts of a file add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pasctl.inventory.scale import USUAL_MIDDLE

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AnswerSums:
    """Pairwise sums over some respondents; `a + b` are those of both.

    Answers are less USUAL_MIDDLE, so that the sums of whole answers are exact, however a file is cut. An entry [i, j]
    is over the respondents who answered both i and j.

    Attributes:
        respondents: Rows, with whatever is missing in them.
        lowest: The lowest answer of all; infinity without any.
        highest: The highest; minus infinity without any.
        count: float64 [I, I], respondents who answered both.
        total: Sums of the row's item [I, I].
        square: Sums of its squares [I, I].
        product: Sums of the products of both [I, I].
    """

    respondents: int
    lowest: float
    highest: float
    count: FloatArray
    total: FloatArray
    square: FloatArray
    product: FloatArray

    @classmethod
    def of(cls, answers: FloatArray) -> AnswerSums:
        """Those of answers [P, I], NaN where missing."""
        present = ~np.isnan(answers)
        m = present.astype(np.float64)
        x = np.where(present, answers - USUAL_MIDDLE, 0.0)
        given = answers[present]
        return cls(
            respondents=len(answers),
            lowest=float(given.min(initial=np.inf)),
            highest=float(given.max(initial=-np.inf)),
            # Sums run over the rows where both columns are present, so each is a product with the other's mask.
            count=m.T @ m,
            total=x.T @ m,
            square=(x * x).T @ m,
            product=x.T @ x,
        )

    def __add__(self, other: AnswerSums) -> AnswerSums:
        return AnswerSums(
            self.respondents + other.respondents,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.count + other.count,
            self.total + other.total,
            self.square + other.square,
            self.product + other.product,
        )

    @property
    def answered(self) -> FloatArray:
        """Respondents who answered each item [I]."""
        return np.diag(self.count)

    def means(self) -> FloatArray:
        """Mean answer to each item [I]; NaN where nobody answered it."""
        with np.errstate(invalid="ignore"):
            means: FloatArray = np.diag(self.total) / self.answered + USUAL_MIDDLE
        return means

    def covariances(self, fewest: int = 2) -> FloatArray:
        """Covariances (ddof 1) of every two items over the rows where both are present [I, I].

        They are NaN where fewer than `fewest` rows have both.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            values: FloatArray = (self.product - self.total * self.total.T / self.count) / (self.count - 1)
        values[self.count < fewest] = np.nan
        return values

    def correlations(self, fewest: int = 3) -> FloatArray:
        """Pearson correlations of every two items over the rows where both are present [I, I].

        They are NaN where fewer than `fewest` rows have both, or an item does not vary over them.
        """
        n = self.count
        with np.errstate(divide="ignore", invalid="ignore"):
            covariance = self.product - self.total * self.total.T / n
            variance = self.square - self.total * self.total / n
            r: FloatArray = covariance / np.sqrt(variance * variance.T)
        r[(n < fewest) | (variance < 1e-9) | (variance.T < 1e-9)] = np.nan
        return r
