"""A person described by trait scores in standard deviations: `traits:E=1.5,N=-1`."""

from __future__ import annotations

import math
import re

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.personas import PersonaSet, safe_label
from pasctl.inventory.trait_norms import typical_norms

PREFIX = "traits:"
_GROUP = re.compile(r"(?:^|,)\s*group=(.*)$")


def described_person(spec: str, inventory: Inventory) -> PersonaSet:
    """One person whose mean keyed score on each trait named is z standard deviations from the mean.

    Each item of a trait gets the keyed score mean + z sd, brought to its scale and cut to it; so the answers of one
    trait are alike, and may lie between options. Mean and standard deviation are those of `typical_norms`, in the group
    that `group=NAME` at the end says. Traits that are not named are missing, as those of a pole are, and left as the
    model has them; `O=0` says that somebody is average on O.

    Raises:
        InputError: a trait that has no items, one named twice, or a number that is none.
    """
    places, norms = _read(spec, inventory)
    scores = np.full(len(inventory), np.nan)
    for trait, z in places.items():
        columns = np.flatnonzero(np.array(inventory.traits) == trait)
        score = np.clip(norms[trait].mean + z * norms[trait].sd, inventory.scale.low, inventory.scale.high)
        scores[columns] = inventory.on_own_scales(np.full(len(columns), score), columns)
    name = ",".join(f"{trait}={z:g}" for trait, z in places.items())
    label = safe_label("-".join(f"{trait}{z:+g}" for trait, z in places.items()))
    return PersonaSet(label, (name,), inventory.keyed(scores)[None])


def norms_described(spec: str, inventory: Inventory) -> dict[str, Norm]:
    """Trait code -> the norm that the words `traits:...` are about; empty for other words, and for the scale's own."""
    if not spec.startswith(PREFIX):
        return {}
    return {trait: norm for trait, norm in _read(spec, inventory)[1].items() if norm.n or inventory.norms}


def _read(spec: str, inventory: Inventory) -> tuple[dict[str, float], dict[str, Norm]]:
    """What z each trait named has, and the norms that it is in."""
    words = spec.removeprefix(PREFIX)
    group = _GROUP.search(words)
    places = _places(words[: group.start()] if group else words, spec, inventory)
    return places, typical_norms(inventory, list(places), group[1].strip() if group else None)


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
