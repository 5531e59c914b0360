"""What answers say: the mean keyed score of each trait and facet, and its place among people.

A keyed score is the agreement with an item keyed +1, and the reversed agreement with an item keyed -1: the highest is
always high on the trait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pasctl.inventory.items import IntArray, Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.traits import Trait
from pasctl.survey.population import Population
from pasctl.survey.session import Entries

FloatArray = npt.NDArray[np.float64]
_DIGITS = 9  # of means that are compared


@dataclass(frozen=True)
class Score:
    """A trait, or one facet of it.

    Attributes:
        trait: Its code.
        name: What the trait or the facet is called.
        facet: None for the whole trait.
        mean: Mean keyed score of the answered items; None when none is.
        answered: Items answered, of `items`.
        items: Items looked at.
        percentile: 0..100, the share of respondents with a lower mean over the same items, ties counting half, or of a
            norm's normal distribution below the mean; None without an answer or without anybody to compare with.
        respondents: How many answered at least one of the same items, or how many people the norm is of.
    """

    trait: str
    name: str
    facet: str | None
    mean: float | None
    answered: int
    items: int
    percentile: float | None
    respondents: int


def profile(
    inventory: Inventory, agreements: FloatArray, population: Population, columns: IntArray
) -> tuple[Score, ...]:
    """Scores of one person, each trait followed by its facets, traits in the inventory's order.

    Items count by their weights, and those with options of their own as on the inventory's scale.

    Args:
        inventory: Of I items.
        agreements: [I], on the items' scales, NaN where missing.
        population: Whom to compare with.
        columns: The items to look at.
    """
    people = population.agreements(inventory)
    own, others = (inventory.on_one_scale(inventory.keyed(values)) for values in (agreements[None], people))
    scores = []
    for trait, facet, group in _groups(inventory, columns):
        score = _score(trait, facet, own, others, group, inventory.weights)
        norm = population.norms.get(trait.code) if facet is None else None
        scores.append(score if norm is None else _by_norm(score, norm))
    return tuple(scores)


def midrank_percentile(value: float, others: FloatArray) -> float:
    """Share of `others` [P] below `value`, those equal to it counting half, times 100. There is at least one."""
    below, equal = np.count_nonzero(others < value), np.count_nonzero(others == value)
    return float(100 * (below + equal / 2) / len(others))


def agreements_of(inventory: Inventory, entries: Entries) -> FloatArray:
    """Entries as agreements [I], NaN where an item is skipped or open."""
    given = [entries.get(item.id) for item in inventory.items]
    return np.array([np.nan if score is None else score for score in given], dtype=np.float64)


def profile_json(scores: tuple[Score, ...]) -> list[dict[str, Any]]:
    """The scores as plain values."""
    return [asdict(score) for score in scores]


def _groups(inventory: Inventory, columns: IntArray) -> Iterator[tuple[Trait, str | None, IntArray]]:
    for trait in inventory.known_traits:
        of_trait = [c for c in columns if inventory.items[c].trait == trait.code]
        if not of_trait:
            continue
        yield trait, None, np.array(of_trait)
        facets = list(dict.fromkeys(inventory.items[c].facet for c in of_trait))
        if facets in ([trait.code], [trait.name]):
            continue  # no facets: items without one have their trait's
        for facet in facets:
            yield trait, facet, np.array([c for c in of_trait if inventory.items[c].facet == facet])


def _score(
    trait: Trait, facet: str | None, own: FloatArray, others: FloatArray, columns: IntArray, weights: FloatArray
) -> Score:
    answered = columns[~np.isnan(own[0, columns])]
    if not len(answered):
        return Score(trait.code, facet or trait.name, facet, None, 0, len(columns), None, 0)
    # the same items: who skipped an item has to be compared with the others' answers to the rest
    (mean,), means = (_means(values[:, answered], weights[answered]) for values in (own, others))
    means = means[~np.isnan(means)]
    # equal means of other sums may differ in the last bit
    percentile = midrank_percentile(round(mean, _DIGITS), np.round(means, _DIGITS)) if len(means) else None
    return Score(
        trait.code, facet or trait.name, facet, float(mean), len(answered), len(columns), percentile, len(means)
    )


def _by_norm(score: Score, norm: Norm) -> Score:
    """A score with its place in a normal distribution."""
    if score.mean is None:
        return score
    return replace(score, percentile=100 * NormalDist(norm.mean, norm.sd).cdf(score.mean), respondents=norm.n)


def _means(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The weighted mean of each row [P, N] -> [P] without its NaN; NaN where a row has nothing else."""
    present = np.isfinite(values)
    total = (np.where(present, values, 0.0) * weights).sum(axis=1)
    weight = (present * weights).sum(axis=1)
    means: FloatArray = np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)
    return means
