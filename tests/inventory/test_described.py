"""Persons described by trait scores in standard deviations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.inventory import Inventory, Item, builtin_inventory, load_personas, simulate
from pasctl.inventory.norms import Norm, PublishedNorms
from pasctl.inventory.scale import Scale
from pasctl.inventory.traits import Trait

BUILTIN = builtin_inventory()
NORMS = (Norm("Mach", 3.0, 0.5), Norm("Narc", 5.0, 1.0))
INVENTORY = Inventory(
    "two",
    (
        Item("a1", "I plan.", "Mach", "", 1, "fit"),
        Item("a2", "I trust.", "Mach", "", -1, "fit"),
        Item("b1", "I shine.", "Narc", "", 1, "fit"),
        Item("b2", "They clap.", "Narc", "", -1, "report", scale=Scale(("x", "y", "z"), (10, 5, 0)), scenario=True),
    ),
    tuple("7654321"),
    known_traits=(Trait("Mach", "Machiavellianism"), Trait("Narc", "Narcissism")),
    norms=PublishedNorms(NORMS),
)
GROUPS = replace(
    INVENTORY, norms=PublishedNorms(tuple(replace(n, group=g) for g in ("men, 18-25", "women") for n in NORMS))
)


def test_answers_worked_out_by_hand() -> None:
    personas = load_personas("traits:Narc=1,machiavellianism=-2", INVENTORY)
    # Mach: 3 - 2 * 0.5 = 2, reversed 8 - 2; Narc: 5 + 1 = 6, on 0..10 as (6 - 1) / 6 * 10, reversed
    assert personas.agreements[0] == pytest.approx([2, 6, 6, 10 - 50 / 6])
    assert personas.ids == ("Mach=-2,Narc=1",)
    assert personas.label == "mach-2-narc+1"
    assert personas.digest == load_personas("traits:Mach=-2,Narc=1", INVENTORY).digest


def test_what_is_not_named_is_missing_and_0_is_the_mean() -> None:
    row = load_personas("traits:Narc=0", INVENTORY).agreements[0]
    assert np.isnan(row[:2]).all()
    assert row[2] == 5


def test_answers_are_cut_to_the_scale() -> None:
    assert load_personas("traits:Mach=99,Narc=-99", INVENTORY).agreements.tolist() == [[7, 1, 1, 10]]


@pytest.mark.parametrize("z", [-1.5, 0.0, 0.7])
def test_on_the_built_in_inventory_the_built_in_respondents_are_the_norms(z: float) -> None:
    keyed = BUILTIN.keyed(simulate(BUILTIN).agreements)[:, np.array(BUILTIN.traits) == "N"].mean(axis=1)
    row = BUILTIN.keyed(load_personas(f"traits:N={z}", BUILTIN).agreements[0])
    assert (np.nanmean(row) - keyed.mean()) / keyed.std(ddof=1) == pytest.approx(z)


def test_without_norms_the_scale_is_taken() -> None:
    bare = replace(INVENTORY, norms=PublishedNorms())
    assert load_personas("traits:Mach=1", bare).agreements[0, 0] == pytest.approx(4 + 0.15 * 6)


def test_a_group_is_named_at_the_end() -> None:
    assert load_personas("traits:Mach=1,group=men, 18-25", GROUPS).agreements[0, 0] == 3.5
    with pytest.raises(InputError, match="several groups"):
        load_personas("traits:Mach=1", GROUPS)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("traits:Psych=1", "found 'Psych=1'"),
        ("traits:Mach", "found 'Mach'"),
        ("traits:Mach=high", "standard deviations from the mean, found 'Mach=high'"),
        ("traits:Mach=inf", "standard deviations"),
        ("traits:Mach=1,mach=2", "named twice"),
        ("traits:Mach=1,,", "found ''"),
        ("traits:", "unknown personas"),
        ("traits:Mach=1,group=cats", "no norms of group 'cats'"),
    ],
)
def test_what_describes_nobody_is_one_line(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_personas(spec, INVENTORY)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
