"""Whether the items of a trait go together once they are keyed: one by one, and the two keys of each trait.

A file may be partly reversed: one or two items, all of one trait, or the second half of its rows. The mean over all
pairs of items (see `pasctl.inventory.coding`) hardly moves then. Three figures find it:

- the corrected item-total correlation: of an item's keyed score with the sum of the trait's other items
  (J. C. Nunnally, "Psychometric Theory", 1978). It is below 0 for an item that is coded the other way than the rest;
- for each trait, the correlation of the sum of its items keyed +1 with the sum of those keyed -1, as stored. It is
  negative in agreements and positive in keyed scores, once the other traits' items have said how much each respondent
  agrees with whatever is asked (a partial correlation);
- the proof of the coding for stretches of the rows by themselves.

All follow from the covariances of the items, so respondents may come in parts. With missing answers a covariance is
over those who answered both items, and so are the figures.

A correlation counts as below 0 beyond chance by Fisher's z (R. A. Fisher, "On the probable error of a coefficient of
correlation", Metron 1, 1921): atanh(r) has a standard error of 1 / sqrt(n - 3). Beyond doubt is what chance gives once
in a hundred files of unrelated answers, all items or traits of a file taken together (Bonferroni); what it gives in
every second file is worth a note. Either is below -0.1 besides: with very many respondents a poor item's -0.02 is no
chance, and no reversal either.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pasctl.inventory.answer_sums import AnswerSums, FloatArray
from pasctl.inventory.coding import CLEAR, FEWEST_OF_PAIR
from pasctl.inventory.items import IntArray, Inventory

REFUSED, NOTED = 0.01, 0.5  # of files of unrelated answers: taken for partly reversed, or thought so
SUSPICIOUS = 2.0  # standard errors below 0 from which an item is named, where any is noted or refused


@dataclass(frozen=True, eq=False)
class Correlations:
    """Correlations that ought to be above 0, each with its number of respondents.

    Attributes:
        r: float64 [N], NaN where it cannot be had.
        n: float64 [N], the fewest respondents that any of its parts is of.
    """

    r: FloatArray
    n: FloatArray

    @property
    def errors(self) -> FloatArray:
        """How many standard errors each lies above 0 [N]; 0 where it cannot be had."""
        bounded = np.clip(np.nan_to_num(self.r), -1 + 1e-9, 1 - 1e-9)
        z: FloatArray = np.arctanh(bounded) * np.sqrt(np.maximum(self.n - 3, 0))
        return z

    @property
    def suspicious(self) -> IntArray:
        """Places that lie below 0 by more than chance gives a single one, ascending."""
        return np.flatnonzero((self.errors < -SUSPICIOUS) & (self.r < -CLEAR))

    def any_below(self, chance: float) -> bool:
        """Whether any lies further below 0 than chance brings one of all of them so often."""
        tested = int(np.count_nonzero(~np.isnan(self.r)))
        limit = NormalDist().inv_cdf(1 - chance / max(tested, 1))
        return bool(((self.errors < -limit) & (self.r < -CLEAR)).any())


def item_totals(sums: AnswerSums, inventory: Inventory, *, keyed: bool) -> Correlations:
    """The corrected item-total correlation of each item within its trait.

    Args:
        sums: Over all respondents, of the answers as stored.
        inventory: The items in column order.
        keyed: Whether the answers are keyed scores; else they are agreements, which the keys turn into such here.
    """
    sign = np.ones(len(inventory)) if keyed else inventory.keys.astype(np.float64)
    covariances = sums.covariances(FEWEST_OF_PAIR) * np.outer(sign, sign)
    r, n = np.full(len(inventory), np.nan), np.zeros(len(inventory))
    for columns in _by_trait(sums, inventory).values():
        if len(columns) < 2:
            continue
        block = covariances[np.ix_(columns, columns)]
        own, with_all = np.diag(block), block.sum(axis=1)
        rest = block.sum() - 2 * with_all + own
        r[columns] = _ratio(with_all - own, own * rest)
        n[columns] = sums.count[np.ix_(columns, columns)].min(axis=1)
    return Correlations(r, n)


def key_halves(sums: AnswerSums, inventory: Inventory, *, keyed: bool) -> tuple[tuple[str, ...], Correlations]:
    """For each trait the correlation of its items keyed +1 with those keyed -1, positive where the coding is as said.

    It is the partial correlation given the acquiescence that the other traits' items show; arguments as above.

    Returns:
        the traits that have items of both keys, and their correlations.
    """
    covariances = sums.covariances(FEWEST_OF_PAIR)
    halves = _halves(sums, inventory)
    r, n = np.full(len(halves), np.nan), np.zeros(len(halves))
    for place, (trait, (plus, minus)) in enumerate(halves.items()):
        others = [half for other, half in halves.items() if other != trait]
        # In agreements acquiescence raises both keys of a trait; in keyed scores it lowers those of items keyed -1.
        acquiescence = sum((up - down if keyed else up + down for up, down in others), np.zeros(len(inventory)))
        r[place] = _partial(covariances, plus, minus, acquiescence) * (1 if keyed else -1)
        columns = np.flatnonzero(plus + minus)
        n[place] = sums.count[np.ix_(columns, columns)].min()
    return tuple(halves), Correlations(r, n)


def _halves(sums: AnswerSums, inventory: Inventory) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Weights [I] of the mean over each trait's items keyed +1, and of that over those keyed -1, where it has both."""
    halves = {}
    for trait, columns in _by_trait(sums, inventory).items():
        plus, minus = (np.isin(np.arange(len(inventory)), columns[inventory.keys[columns] == key]) for key in (1, -1))
        if plus.any() and minus.any():
            halves[trait] = (plus / plus.sum(), minus / minus.sum())
    return halves


def _partial(covariances: FloatArray, a: FloatArray, b: FloatArray, given: FloatArray) -> float:
    """Correlation of two weighted sums of items given a third, each as its weights [I]; NaN where it cannot be had."""
    own = np.flatnonzero(a + b)
    if np.isnan(covariances[np.ix_(own, own)]).any():
        return float("nan")
    weights = np.stack([a, b, given])
    c = weights @ np.nan_to_num(covariances) @ weights.T
    left = c[:2, :2] - (np.outer(c[:2, 2], c[2, :2]) / c[2, 2] if c[2, 2] > 1e-9 else 0.0)
    return float(_ratio(left[0, 1], left[0, 0] * left[1, 1]))


def desirability(sums: AnswerSums, inventory: Inventory, *, keyed: bool) -> tuple[float, float]:
    """How far the mean person lies on the desirable side of the middle, and in standard errors; arguments as above.

    It is the mean of the items' keyed scores, those of undesirable traits reversed. Respondents of nearly every sample
    lie above the middle. A file whose 1 means full agreement lies below, and no correlation shows it.
    """
    towards = inventory.desirable * (1 if keyed else inventory.keys)
    asked = np.flatnonzero(sums.answered >= FEWEST_OF_PAIR)
    weights = towards[asked] / max(len(asked), 1)
    mean = float(weights @ (sums.means() - inventory.middle)[asked])
    variance = float(weights @ sums.covariances(FEWEST_OF_PAIR)[np.ix_(asked, asked)] @ weights)
    if not variance > 0:
        return mean, 0.0
    return mean, mean / float(np.sqrt(variance / sums.answered[asked].min()))


def _by_trait(sums: AnswerSums, inventory: Inventory) -> dict[str, IntArray]:
    """The columns of each trait that enough respondents answered."""
    traits = np.array(inventory.traits)
    enough = sums.answered >= FEWEST_OF_PAIR
    return {trait: np.flatnonzero((traits == trait) & enough) for trait in dict.fromkeys(inventory.traits)}


def _ratio(covariance: FloatArray, variances: FloatArray) -> FloatArray:
    """A correlation from a covariance and the product of both variances; NaN where something does not vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        r: FloatArray = np.where(variances > 1e-9, covariance / np.sqrt(variances), np.nan)
    return r
