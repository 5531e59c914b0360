"""What answers say: the mean keyed score of each trait and facet, and its place among other people.

They are those of the inventory's norms, whose scores are taken to be normally distributed, or else its respondents.

A keyed score is the agreement with an item keyed +1, and the reversed agreement with an item keyed -1: the highest is
always high on the trait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.evaluation.scores import row_means
from pasctl.inventory.items import IntArray, Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.spec import default_personas, has_respondents, inventory_of, load_personas
from pasctl.inventory.traits import Trait
from pasctl.survey.session import Entries

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A trait, or one facet of it.

    Attributes:
        trait: Its code.
        name: What the trait or the facet is called.
        facet: None for the whole trait.
        mean: Mean keyed score of the answered items, by their weights; None when none is.
        answered: Items answered, of `items`.
        items: Items looked at.
        percentile: 0..100, the share of people with a lower score: by the trait's norm, or of respondents by the mean
            over the same items, ties counting half. None without an answer or without anybody to compare with.
        respondents: How many the norm is of, or answered at least one of the same items.
    """

    trait: str
    name: str
    facet: str | None
    mean: float | None
    answered: int
    items: int
    percentile: float | None
    respondents: int


@dataclass(frozen=True, eq=False)
class Population:
    """Whom a profile is compared with.

    Attributes:
        told: Who they are: "50 simulated respondents, no people"; or why there is nobody.
        personas: Their answers, in the inventory's columns; None without respondents.
        norms: Trait code -> what they score; empty without norms.
        simulated: Whether they are drawn from a model.
    """

    told: str
    personas: PersonaSet | None = None
    norms: Mapping[str, Norm] = field(default_factory=dict)
    simulated: bool = False


def population_of(spec: str, inventory: Inventory, coding: str = "auto", group: str | None = None) -> Population:
    """Whom answers to the inventory that `spec` names are compared with: its norms, else its own respondents.

    Args:
        spec: Words that name the inventory.
        inventory: The same.
        coding: How its respondents' answers are stored.
        group: Whose norms; None for those of everybody, or for the only ones there are.

    Raises:
        InputError: a group that has no norms, a coding that is not clear, or scores that would be read as if they were
            agreements.
        MissingError: the respondents' file is missing.
    """
    if inventory.norms or group is not None:
        return _normed(inventory, group)
    if not has_respondents(spec) or inventory_of(spec) is None:
        return Population(f"No percentiles: inventory {inventory.name} has no norms and no respondents.")
    if coding == "as-published":
        raise InputError(
            "--coding as-published reads keyed scores as agreements, which a profile cannot be compared with",
            hint="use auto, keyed or agreement",
        )
    people = load_personas(default_personas(spec), inventory, coding=coding)
    simulated = spec == "builtin"
    told = (
        f"{len(people)} simulated respondents, no people" if simulated else f"the {len(people)} respondents of {spec}"
    )
    return Population(told, people, simulated=simulated)


def _normed(inventory: Inventory, group: str | None) -> Population:
    groups = inventory.norms.groups
    named = ", ".join(name or "everybody (leave --group out)" for name in groups)
    if group is not None and group not in groups:
        raise InputError(
            f"inventory {inventory.name} has no norms of group {group!r}",
            hint=f"it has norms of {named}" if groups else "add norms to its file, or leave --group out",
        )
    if group is None and "" not in groups and len(groups) > 1:
        return Population(f"No percentiles: the norms are of several groups, --group says whose to use: {named}.")
    chosen = group if group is not None else "" if "" in groups else groups[0]
    norms = {norm.trait: norm for norm in inventory.norms.norms if norm.group == chosen}
    return Population(f"the norms of {chosen or inventory.name}", norms=norms)


def profile(
    inventory: Inventory,
    agreements: FloatArray,
    people: FloatArray | None,
    columns: IntArray,
    norms: Mapping[str, Norm] | None = None,
) -> tuple[Score, ...]:
    """Scores of one person, each trait followed by its facets, traits in the inventory's order.

    Args:
        inventory: Of I items.
        agreements: [I], on the items' scales, NaN where missing.
        people: [P, I], the population's agreements; None for nobody.
        columns: The items to look at.
        norms: Of traits, which replace the people.
    """
    nobody = np.empty((0, len(inventory)))
    own, others = (
        inventory.on_one_scale(inventory.keyed(values)) for values in (agreements, nobody if people is None else people)
    )
    return tuple(
        _score(inventory, trait, facet, own, others, group, norms or {})
        for trait, facet, group in _groups(inventory, columns)
    )


def midrank_percentile(value: float, others: FloatArray) -> float:
    """Share of `others` [P] below `value`, those equal to it counting half, times 100. There is at least one."""
    below, equal = np.count_nonzero(others < value), np.count_nonzero(others == value)
    return float(100 * (below + equal / 2) / len(others))


def agreements_of(inventory: Inventory, entries: Entries) -> FloatArray:
    """Entries as agreements [I], NaN where an item is skipped or open."""
    given = (entries.get(item.id) for item in inventory.items)  # 0 is a score
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
        if facets in ([""], [trait.code], [trait.name]):
            continue  # items without facets
        for facet in facets:
            yield trait, facet, np.array([c for c in of_trait if inventory.items[c].facet == facet])


def _score(
    inventory: Inventory,
    trait: Trait,
    facet: str | None,
    own: FloatArray,
    others: FloatArray,
    columns: IntArray,
    norms: Mapping[str, Norm],
) -> Score:
    name, answered = facet or trait.name, columns[~np.isnan(own[columns])]
    if not len(answered):
        return Score(trait.code, name, facet, None, 0, len(columns), None, 0)
    weights = inventory.weights[answered]
    mean = float(_means(own[None, answered], weights)[0])
    if norms:
        norm = norms.get(trait.code) if facet is None else None
        place = None if norm is None else 100 * NormalDist(norm.mean, norm.sd).cdf(mean)
        return Score(trait.code, name, facet, mean, len(answered), len(columns), place, norm.n if norm else 0)
    # the same items: who skipped an item has to be compared with the others' answers to the rest
    means = _means(others[:, answered], weights)
    means = means[~np.isnan(means)]
    percentile = midrank_percentile(mean, means) if len(means) else None
    return Score(trait.code, name, facet, mean, len(answered), len(columns), percentile, len(means))


def _means(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The weighted mean of each row [P, N] without its NaN; weights that are all equal leave exact means, which tie."""
    if (weights == weights[0]).all():
        return row_means(values)
    weight = np.where(np.isnan(values), 0.0, weights).sum(axis=1)
    means: FloatArray = np.nansum(values * weights, axis=1)
    return np.divide(means, weight, out=np.full(len(values), np.nan), where=weight > 0)
