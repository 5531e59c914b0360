"""What answers say: the mean keyed score of each trait and facet, and its place among an inventory's respondents.

A keyed score is the agreement with an item keyed +1, and the reversed agreement with an item keyed -1: the highest is
always high on the trait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.evaluation.scores import row_means
from pasctl.inventory.items import IntArray, Inventory
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.spec import default_personas, load_personas
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
        mean: Mean keyed score of the answered items; None when none is.
        answered: Items answered, of `items`.
        items: Items looked at.
        percentile: 0..100, the share of respondents with a lower mean over the same items, ties counting half; None
            without an answer or without anybody to compare with.
        respondents: How many answered at least one of the same items.
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
        personas: Their answers, in the inventory's columns.
        told: Who they are: "50 simulated respondents, no people".
        simulated: Whether they are drawn from a model.
    """

    personas: PersonaSet
    told: str
    simulated: bool


def population_of(spec: str, inventory: Inventory, coding: str = "auto") -> Population:
    """The own respondents of the inventory that `spec` names.

    Raises:
        InputError: the coding is not clear, or scores would be read as if they were agreements.
        MissingError: their file is missing.
    """
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
    return Population(people, told, simulated)


def profile(inventory: Inventory, agreements: FloatArray, people: FloatArray, columns: IntArray) -> tuple[Score, ...]:
    """Scores of one person, each trait followed by its facets, traits in the inventory's order.

    Args:
        inventory: Of I items.
        agreements: [I], on the items' scales, NaN where missing.
        people: [P, I], the population's agreements.
        columns: The items to look at.
    """
    own, others = (inventory.on_one_scale(inventory.keyed(values)) for values in (agreements, people))
    return tuple(_score(trait, facet, own, others, group) for trait, facet, group in _groups(inventory, columns))


def midrank_percentile(value: float, others: FloatArray) -> float:
    """Share of `others` [P] below `value`, those equal to it counting half, times 100. There is at least one."""
    below, equal = np.count_nonzero(others < value), np.count_nonzero(others == value)
    return float(100 * (below + equal / 2) / len(others))


def agreements_of(inventory: Inventory, entries: Entries) -> FloatArray:
    """Entries as agreements [I], NaN where an item is skipped or open."""
    return np.array([entries.get(item.id) or np.nan for item in inventory.items], dtype=np.float64)


def profile_json(scores: tuple[Score, ...]) -> list[dict[str, Any]]:
    """The scores as plain values."""
    return [asdict(score) for score in scores]


def _groups(inventory: Inventory, columns: IntArray) -> Iterator[tuple[Trait, str | None, IntArray]]:
    for trait in inventory.known_traits:
        of_trait = [c for c in columns if inventory.items[c].trait == trait.code]
        if not of_trait:
            continue
        yield trait, None, np.array(of_trait)
        for facet in dict.fromkeys(inventory.items[c].facet for c in of_trait):
            yield trait, facet, np.array([c for c in of_trait if inventory.items[c].facet == facet])


def _score(trait: Trait, facet: str | None, own: FloatArray, others: FloatArray, columns: IntArray) -> Score:
    answered = columns[~np.isnan(own[columns])]
    if not len(answered):
        return Score(trait.code, facet or trait.name, facet, None, 0, len(columns), None, 0)
    mean = float(own[answered].mean())
    # the same items: who skipped an item has to be compared with the others' answers to the rest
    means = row_means(others[:, answered])
    means = means[~np.isnan(means)]
    percentile = midrank_percentile(mean, means) if len(means) else None
    return Score(trait.code, facet or trait.name, facet, mean, len(answered), len(columns), percentile, len(means))
