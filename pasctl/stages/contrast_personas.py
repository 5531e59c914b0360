"""The personas of a contrast: its poles, weighted combinations of them, and respondents through their traits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pasctl.contrasts import Contrast
from pasctl.errors import InputError
from pasctl.inventory import (
    Inventory,
    Personas,
    PersonaSet,
    chosen_inventory,
    inventory_of,
    norms_described,
    open_personas,
    resolve_personas,
    safe_label,
)
from pasctl.inventory.combination import Parts, parse_combination
from pasctl.inventory.notes import Note
from pasctl.inventory.personas import weighted_answers
from pasctl.inventory.respondents import MapLike
from pasctl.inventory.spec import population_of
from pasctl.inventory.trait_scores import Norms, trait_scores

if TYPE_CHECKING:
    from pasctl.commands.shared import InventoryLike, PersonasLike
    from pasctl.stages.progress import Reporter

Floats = NDArray[np.float64]
_OF_POPULATION = 2048  # persons that norms are taken of


@dataclass(frozen=True, eq=False)
class ContrastPersonas:
    """Who a contrast's directions are combined for.

    Attributes:
        contrast: the contrast.
        inventory: the questionnaire that they answer, and that they are evaluated on.
        personas: P personas with their agreements.
        poles: the weights [P, T] of poles and combinations; None for respondents, whose weights are trait scores.
        norms: what respondents' scores are compared with; None for poles.
    """

    contrast: Contrast
    inventory: Inventory
    personas: Personas
    poles: Floats | None = None
    norms: Norms | None = None

    @cached_property
    def traits(self) -> list[str]:
        """The names of the axes."""
        return [axis.name for axis in self.contrast.axes]

    def weights(self, personas: PersonaSet, rows: range) -> Floats:
        """The weights [n, T] of some personas, which are those at `rows` of all."""
        if self.poles is not None:
            return self.poles[rows.start : rows.stop]
        return self.norms.standardise(trait_scores(self.inventory, personas, self.traits))  # type: ignore[union-attr]


def contrast_personas(
    spec: PersonasLike | None,
    contrast: Contrast,
    inventory: InventoryLike,
    coding: str,
    reporter: Reporter,
    note: Note | None = None,
    map_file: MapLike = None,
    option_labels: str | None = None,
) -> ContrastPersonas:
    """The personas that a user names, or all poles of the contrast.

    Args:
        spec: poles and combinations with commas between them, respondents, or None for all poles.
        contrast: the contrast.
        inventory: the questionnaire that poles are evaluated on; respondents have their own.
        coding: how stored answers are read, see `open_personas`.
        reporter: is told what scores are compared with.
        note: is told what was guessed of a file, and what of the answers cannot be proven; the reporter without one.
        map_file: what the columns and values of a file of answers are.
        option_labels: what a model answers with, see `chosen_inventory`.

    Raises:
        InputError: a pole that the contrast does not have, or respondents and a contrast that is not of traits.
    """
    if spec is None:
        return _of_poles(_all_poles(contrast), contrast, chosen_inventory(inventory, option_labels))
    named = _poles(spec, contrast) if isinstance(spec, str) else None
    if named is not None:
        return _of_poles(named, contrast, chosen_inventory(inventory, option_labels))
    own = inventory_of(spec) if isinstance(spec, str) else None
    asked = chosen_inventory(own or inventory, option_labels)
    if not set(asked.traits) & {axis.name for axis in contrast.axes}:
        axes = ", ".join(axis.name for axis in contrast.axes)
        raise InputError(
            f"contrast {contrast.name} has the axes {axes}, expected traits of inventory {asked.name} for respondents",
            hint="use --contrast items, which is of the inventory's own traits, or leave --personas out for the "
            "contrast's own poles",
        )
    personas = resolve_personas(spec, asked, coding=coding, note=note or reporter.note, map_file=map_file)
    population = _population(spec, asked, coding, personas, map_file)
    norms = Norms.of(asked, population, [axis.name for axis in contrast.axes])
    if isinstance(spec, str) and (described := norms_described(spec, asked)):
        norms = Norms.given(asked, described, [axis.name for axis in contrast.axes])
    if not norms.persons:
        reporter.note(f"{len(population)} respondents are too few for norms: scores are compared with the midpoint")
    return ContrastPersonas(contrast, asked, personas, norms=norms)


def _population(
    spec: PersonasLike, inventory: Inventory, coding: str, personas: Personas, map_file: MapLike
) -> PersonaSet:
    """Everybody in the source of some respondents, so that a selection has the same norms as the whole."""
    everybody = personas
    if isinstance(spec, str):
        everybody = open_personas(population_of(spec), inventory, coding=coding, map_file=map_file)
    return next(iter(everybody.parts([(0, min(len(everybody), _OF_POPULATION))])))


def _all_poles(contrast: Contrast) -> dict[str, Parts]:
    return {name: ((1.0, name),) for axis in contrast.axes for name in (axis.plus, axis.minus)}


def _poles(spec: str, contrast: Contrast) -> dict[str, Parts] | None:
    """Name -> its parts, for a list of poles and combinations; None where the words mean something else."""
    poles = _all_poles(contrast)
    by_upper = {name.upper(): name for name in poles}
    found: dict[str, Parts] = {}
    for name in spec.split(","):
        if "&" not in name and "*" not in name and name.strip().upper() not in by_upper:
            return None
        parts = []
        for weight, pole in parse_combination(name):
            if pole.upper() not in by_upper:
                raise InputError(
                    f"combination {name.strip()!r}: contrast {contrast.name} has no pole {pole!r}, expected one of "
                    f"{', '.join(poles)}"
                )
            parts.append((weight, by_upper[pole.upper()]))
        found[_canonical(parts)] = tuple(parts)
    return found


def _canonical(parts: Sequence[tuple[float, str]]) -> str:
    return " & ".join(name if weight == 1 else f"{weight:g}*{name}" for weight, name in parts)


def _of_poles(named: dict[str, Parts], contrast: Contrast, inventory: Inventory) -> ContrastPersonas:
    side = {
        name: (place, sign)
        for place, axis in enumerate(contrast.axes)
        for name, sign in ((axis.plus, 1.0), (axis.minus, -1.0))
    }
    weights = np.zeros((len(named), len(contrast.axes)))
    for row, parts in enumerate(named.values()):
        for weight, pole in parts:
            place, sign = side[pole]
            weights[row, place] += weight * sign
    personas = PersonaSet(_label(named, contrast), tuple(named), _agreements(weights, contrast, inventory))
    return ContrastPersonas(contrast, inventory, personas, poles=weights)


def _agreements(weights: Floats, contrast: Contrast, inventory: Inventory) -> Floats:
    """What a pole or a combination answers [P, I]: fully for a weight of 1; missing on traits that it is not about."""
    place = {axis.name: row for row, axis in enumerate(contrast.axes)}
    of_item = np.array([place.get(trait, -1) for trait in inventory.traits])
    of_weight = np.where(of_item >= 0, weights[:, of_item], 0.0)
    return weighted_answers(of_weight, inventory)


def _label(named: dict[str, Parts], contrast: Contrast) -> str:
    """Short name for artifacts: the contrast's for all its poles, else the personas'."""
    if set(named) == set(_all_poles(contrast)):
        return contrast.name
    words = "-".join(
        "".join(name if weight == 1 else f"{weight:g}{name}" for weight, name in parts) for parts in named.values()
    )
    return safe_label(f"{contrast.name}-{words.lower()}"[:60])
