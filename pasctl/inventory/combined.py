"""Persons who are several trait poles at once, each to a degree: `E+ & 0.5*N-`."""

from __future__ import annotations

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.combination import Parts, is_combination, parse_combination
from pasctl.inventory.items import FloatArray, Inventory
from pasctl.inventory.personas import PersonaSet, is_pole_spec, pole_of, safe_label, weighted_answers


def is_combined_spec(spec: str, inventory: Inventory) -> bool:
    """Whether this is a list of poles and combinations of poles, with a combination in it.

    A file may have & in its name: it is a combination only where one of the parts is a pole, or all look like one.
    """
    names = spec.split(",")
    if not any(map(is_combination, names)):
        return False
    atoms = [part.rpartition("*")[2].strip() for name in names for part in name.split("&")]
    return any(pole_of(atom, inventory) for atom in atoms) or all(is_pole_spec(atom, inventory) for atom in atoms)


def combined_personas(spec: str, inventory: Inventory) -> PersonaSet:
    """One persona for each pole or combination in `spec`, with commas between them.

    An item of a trait whose parts weigh w together, poles of the low side counting against it, is answered with
    middle + w * half the scale * key, cut to the scale; items of other traits are missing. So `0.5*N-` half disagrees
    with the items keyed +1 of N. Such answers may lie between options; prompts take the nearest one, see
    `pasctl.inventory.prompts.few_shot`.

    Raises:
        InputError: a pole that the inventory does not have, a weight that is no number, or parts that cancel out.
    """
    named: dict[str, Parts] = {}
    for name in spec.split(","):
        parts = tuple((weight, _pole(word, name, inventory)) for weight, word in parse_combination(name))
        named[_canonical(parts)] = parts
    rows = np.array([_answers(name, parts, inventory) for name, parts in named.items()])
    return PersonaSet(safe_label("-".join(name.replace(" & ", "") for name in named)), tuple(named), rows)


def _pole(word: str, name: str, inventory: Inventory) -> str:
    pole = pole_of(word, inventory)
    if pole is None or pole[:-1] not in inventory.trait_codes:
        known = ", ".join(f"{code}+, {code}-" for code in inventory.trait_codes)
        raise InputError(
            f"combination {name.strip()!r}: inventory {inventory.name} has no items of a pole {word!r}",
            hint=f"poles are {known}",
        )
    return pole


def _canonical(parts: Parts) -> str:
    return " & ".join(pole if weight == 1 else f"{weight:g}*{pole}" for weight, pole in parts)


def _answers(name: str, parts: Parts, inventory: Inventory) -> FloatArray:
    weights = dict.fromkeys(inventory.trait_codes, 0.0)
    for weight, pole in parts:
        weights[pole[:-1]] += weight if pole.endswith("+") else -weight
    if not any(weights.values()):
        raise InputError(
            f"combination {name!r}: the parts cancel out, which leaves nobody", hint="give weights that differ"
        )
    return weighted_answers(np.array([weights[trait] for trait in inventory.traits]), inventory)
