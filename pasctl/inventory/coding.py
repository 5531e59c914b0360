"""The proof of how a file of answers is coded: keyed scores, or agreements as given.

Within a facet, people who score high on one item score high on the others. So two items of one facet with the same
key correlate positively however the file is coded, and two with opposite keys correlate positively only if the answers
to one of them have been reversed: in keyed scores. In agreements they correlate negatively.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.answer_sums import AnswerSums
from pasctl.inventory.items import Inventory

FloatArray = npt.NDArray[np.float64]
Found = Literal["keyed", "agreement", "ambiguous"]

CLEAR = 0.1  # a mean correlation nearer to 0 than this decides nothing
FEWEST_RESPONDENTS = 20  # with fewer, the mean of the same few people's correlations can land on the wrong side
FEWEST_OF_PAIR = 10  # respondents who answered both items of a pair; its correlation counts for nothing with fewer


@dataclass(frozen=True)
class CodingReport:
    """What the within-facet correlations say.

    Attributes:
        same: Mean Pearson correlation of same-keyed pairs of items of one facet; None when no pair has one.
        opposite: The same for opposite-keyed pairs.
        found: "keyed", "agreement" or "ambiguous".
        n_respondents: Respondents in the file.
        pairs_same: Same-keyed pairs that have a correlation.
        pairs_opposite: Opposite-keyed pairs that have a correlation.
    """

    same: float | None
    opposite: float | None
    found: Found
    n_respondents: int
    pairs_same: int
    pairs_opposite: int

    def __str__(self) -> str:
        figures = f"same-keyed items of a facet correlate at {_figure(self.same)}, opposite-keyed at"
        return f"{figures} {_figure(self.opposite)} ({self.n_respondents} respondents)"


def prove_coding(answers: FloatArray, inventory: Inventory) -> CodingReport:
    """Reads the coding of stored answers off the within-facet correlations.

    Args:
        answers: float64 [P, I] as stored, NaN where missing; all respondents of the file, not a selection.
        inventory: The items in column order.
    """
    return report_of(AnswerSums.of(answers), inventory)


def report_of(sums: AnswerSums, inventory: Inventory) -> CodingReport:
    """The same from the sums over all respondents of a file, or over a sample from the whole of it."""
    r = sums.correlations(FEWEST_OF_PAIR)
    facet = np.array([f"{item.trait}/{item.facet}" for item in inventory.items])
    keys = inventory.keys
    pair = np.triu(facet[:, None] == facet[None, :], k=1) & ~np.isnan(r)
    alike = keys[:, None] == keys[None, :]
    same, opposite = r[pair & alike], r[pair & ~alike]
    mean_same = float(same.mean()) if same.size else None
    mean_opposite = float(opposite.mean()) if opposite.size else None
    people = sums.respondents
    found: Found = "ambiguous"
    # Same-keyed pairs must agree with each other first: where they do not, the columns are not what the key says.
    if people >= FEWEST_RESPONDENTS and mean_same is not None and mean_opposite is not None and mean_same > CLEAR:
        if mean_opposite > CLEAR:
            found = "keyed"
        elif mean_opposite < -CLEAR:
            found = "agreement"
    return CodingReport(mean_same, mean_opposite, found, people, same.size, opposite.size)


def unkeyed(scores: FloatArray, inventory: Inventory) -> FloatArray:
    """Agreements [P, I] from keyed scores: those of items keyed -1 are reversed. It is its own inverse."""
    agreements: FloatArray = np.where(inventory.keys > 0, scores, 6 - scores)
    return agreements


def require_clear(report: CodingReport, source: str) -> None:
    """Raises InputError with both figures when the coding cannot be told."""
    if report.found != "ambiguous":
        return
    few = report.n_respondents < FEWEST_RESPONDENTS
    why = f"fewer than {FEWEST_RESPONDENTS} respondents" if few else f"expected > {CLEAR} and beyond +-{CLEAR}"
    raise InputError(
        f"{source}: cannot tell keyed scores from agreements: {report}; {why}",
        hint="say which it is with --coding keyed or --coding agreement",
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"
