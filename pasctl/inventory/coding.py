"""The proof of how a file of answers is coded: keyed scores, or agreements as given.

Within a facet, people who score high on one item score high on the others. So two items of one facet with the same
key correlate positively however the file is coded, and two with opposite keys correlate positively only if the answers
to one of them have been reversed: in keyed scores. In agreements they correlate negatively.

Respondents who agree whatever an item says make all agreements correlate positively, and those of keyed scores by key.
Items of different traits show how far: their mean correlation, same-keyed or opposite-keyed, is subtracted first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        same_across: Mean correlation of same-keyed items of different traits, 0 without any.
        opposite_across: The same for opposite-keyed items.
    """

    same: float | None
    opposite: float | None
    found: Found
    n_respondents: int
    pairs_same: int
    pairs_opposite: int
    same_across: float = 0.0
    opposite_across: float = 0.0

    def __str__(self) -> str:
        figures = f"same-keyed items of a facet correlate at {_figure(self.same)}, opposite-keyed at"
        across = ""
        if max(abs(self.same_across), abs(self.opposite_across)) > CLEAR:
            across = f"; of different traits at {self.same_across:+.2f} and {self.opposite_across:+.2f}"
        return f"{figures} {_figure(self.opposite)}{across} ({self.n_respondents} respondents)"


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
    facet, trait = (np.array(names) for names in ([f"{i.trait}/{i.facet}" for i in inventory.items], inventory.traits))
    known = np.triu(~np.isnan(r), k=1)
    within = known & (facet[:, None] == facet[None, :])
    across = known & (trait[:, None] != trait[None, :])
    alike = inventory.keys[:, None] == inventory.keys[None, :]
    same, opposite = r[within & alike], r[within & ~alike]
    report = CodingReport(
        same=float(same.mean()) if same.size else None,
        opposite=float(opposite.mean()) if opposite.size else None,
        found="ambiguous",
        n_respondents=sums.respondents,
        pairs_same=same.size,
        pairs_opposite=opposite.size,
        same_across=float(r[across & alike].mean()) if (across & alike).any() else 0.0,
        opposite_across=float(r[across & ~alike].mean()) if (across & ~alike).any() else 0.0,
    )
    return replace(report, found=_verdict(report))


def unkeyed(scores: FloatArray, inventory: Inventory) -> FloatArray:
    """Agreements [P, I] from keyed scores: those of items keyed -1 are reversed. It is its own inverse."""
    return inventory.keyed(scores)


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


def _verdict(report: CodingReport) -> Found:
    if report.n_respondents < FEWEST_RESPONDENTS or report.same is None or report.opposite is None:
        return "ambiguous"
    # Same-keyed pairs must agree with each other first: where they do not, the columns are not what the key says.
    if report.same - report.same_across <= CLEAR:
        return "ambiguous"
    opposite = report.opposite - report.opposite_across
    return "keyed" if opposite > CLEAR else "agreement" if opposite < -CLEAR else "ambiguous"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"
