"""Persons described by trait scores in standard deviations: `traits:E=1.5,N=-1`, `traits:E=1.5;E=-1.5`."""

from __future__ import annotations

import math
import re

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import FloatArray, Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.personas import PersonaSet, safe_label
from pasctl.inventory.trait_norms import typical_norms

PREFIX = "traits:"
_GROUP = re.compile(r"(?:^|,)\s*group=(.*)$")


def described_persons(spec: str, inventory: Inventory) -> PersonaSet:
    """Persons, with ; between them, whose mean keyed score on each trait named is z standard deviations from the mean.

    Each item of a trait gets the keyed score mean + z sd, brought to its scale and cut to it; so the answers of one
    trait are alike, and may lie between options. Mean and standard deviation are those of `typical_norms`, in the group
    that `group=NAME` at the end says, one for all persons. Traits that are not named are missing, as those of a pole
    are, and left as the model has them; `O=0` says that somebody is average on O.

    Raises:
        InputError: a trait that has no items, one named twice, a number that is none, or a person named twice.
    """
    persons, norms = _read(spec, inventory)
    names = [",".join(f"{trait}={z:g}" for trait, z in places.items()) for places in persons]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"personas {spec!r}: person {twice} is named twice", hint="name each person once")
    words = ("-".join(f"{trait}{z:+g}" for trait, z in places.items()) for places in persons)
    rows = np.array([_scores(places, norms, inventory) for places in persons])
    return PersonaSet(safe_label("-".join(words)), tuple(names), inventory.keyed(rows))


def _scores(places: dict[str, float], norms: dict[str, Norm], inventory: Inventory) -> FloatArray:
    """The keyed scores [I] of a person, missing on traits that are not named."""
    scores = np.full(len(inventory), np.nan)
    for trait, z in places.items():
        columns = np.flatnonzero(np.array(inventory.traits) == trait)
        score = np.clip(norms[trait].mean + z * norms[trait].sd, inventory.scale.low, inventory.scale.high)
        scores[columns] = inventory.on_own_scales(np.full(len(columns), score), columns)
    return scores


def norms_described(spec: str, inventory: Inventory) -> dict[str, Norm]:
    """Trait code -> the norm that the words `traits:...` are about; empty for other words, and for the scale's own."""
    if not spec.startswith(PREFIX):
        return {}
    return {trait: norm for trait, norm in _read(spec, inventory)[1].items() if norm.n or inventory.norms}


def _read(spec: str, inventory: Inventory) -> tuple[list[dict[str, float]], dict[str, Norm]]:
    """What z each trait named has, person by person, and the norms of all traits named."""
    words = spec.removeprefix(PREFIX)
    group = _GROUP.search(words)
    texts = (words[: group.start()] if group else words).split(";")
    persons = [_places(text, spec, inventory) for text in texts]
    traits = [trait for trait in inventory.trait_codes if any(trait in places for places in persons)]
    return persons, typical_norms(inventory, traits, group[1].strip() if group else None)


def _places(words: str, spec: str, inventory: Inventory) -> dict[str, float]:
    """Trait code -> z, in the inventory's order."""
    spelled = {
        name.casefold(): trait.code
        for trait in inventory.known_traits
        if trait.code in inventory.trait_codes
        for name in (trait.name, trait.code)
    }
    places: dict[str, float] = {}
    for word in words.split(","):
        name, sign, number = word.partition("=")
        trait = spelled.get(" ".join(name.split()).casefold())
        if trait is None or not sign:
            raise InputError(
                f"personas {spec!r}: expected numbers for traits of inventory {inventory.name}, found {word.strip()!r}",
                hint=f"traits are {', '.join(inventory.trait_codes)}; such as {PREFIX}{inventory.trait_codes[0]}=1.5",
            )
        try:
            z = float(number)
        except ValueError:
            z = math.nan
        if not math.isfinite(z):
            raise InputError(
                f"personas {spec!r}: expected standard deviations from the mean, found {word.strip()!r}",
                hint=f"such as {PREFIX}{trait}=1.5",
            )
        if trait in places:
            raise InputError(f"personas {spec!r}: trait {trait} is named twice", hint="one number a trait")
        places[trait] = z
    return {trait: places[trait] for trait in inventory.trait_codes if trait in places}
