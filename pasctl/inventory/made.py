"""Persons whom nobody met: combined of trait poles, described by trait scores, or drawn from norms."""

from __future__ import annotations

from pasctl.errors import InputError
from pasctl.inventory.combined import combined_personas, is_combined_spec
from pasctl.inventory.described import PREFIX as TRAITS
from pasctl.inventory.described import described_persons
from pasctl.inventory.items import Inventory
from pasctl.inventory.personas import PersonaSet

SAMPLE = "sample:"


def is_made_spec(spec: str, inventory: Inventory) -> bool:
    """Whether the words make persons up, other than by single poles."""
    return spec.startswith((TRAITS, SAMPLE)) or is_combined_spec(spec, inventory)


def made_personas(spec: str, inventory: Inventory, coding: str = "auto") -> PersonaSet:
    """The persons that `spec` makes up.

    Raises:
        InputError: words that do not say whom, or a coding of answers, which nobody stored.
    """
    if coding not in ("auto", "agreement"):
        raise InputError(f"--coding {coding} is about stored answers, but personas {spec!r} are agreements")
    if spec.startswith(SAMPLE):
        from pasctl.inventory.synthetic import sampled_people  # scipy.optimize takes a while

        return sampled_people(spec, inventory)
    if spec.startswith(TRAITS):
        return described_persons(spec, inventory)
    return combined_personas(spec, inventory)
