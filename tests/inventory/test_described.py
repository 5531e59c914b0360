"""Persons described by trait scores in standard deviations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pasctl.contrasts import load_contrast
from pasctl.errors import InputError
from pasctl.inventory import Inventory, Item, PersonaSet, builtin_inventory, load_personas, simulate
from pasctl.inventory.norms import Norm, PublishedNorms
from pasctl.inventory.scale import Scale
from pasctl.inventory.trait_scores import Norms
from pasctl.inventory.traits import Trait
from pasctl.stages.contrast_personas import contrast_personas
from pasctl.stages.progress import Silent

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


def test_several_persons_answer_as_each_alone() -> None:
    personas = load_personas("traits:Mach=1;Narc=-1,Mach=0.5", INVENTORY)
    assert personas.ids == ("Mach=1", "Mach=0.5,Narc=-1")
    alone = [load_personas(f"traits:{words}", INVENTORY).agreements[0] for words in personas.ids]
    assert np.array_equal(personas.agreements, alone, equal_nan=True)


def test_one_group_at_the_end_is_of_all_persons() -> None:
    both = load_personas("traits:Mach=1;Mach=-1,group=women", GROUPS)
    one = load_personas("traits:Mach=-1,group=women", GROUPS)
    assert np.array_equal(both.agreements[1], one.agreements[0], equal_nan=True)


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
        ("traits:Mach=1;", "found ''"),
        ("traits:Mach=1;mach=1.0", "person Mach=1 is named twice"),
        ("traits:", "unknown personas"),
        ("traits:Mach=1,group=cats", "no norms of group 'cats'"),
    ],
)
def test_what_describes_nobody_is_one_line(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_personas(spec, INVENTORY)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("z", [-1.0, 0.0, 1.5])
def test_a_contrast_weighs_traits_by_the_very_number(z: float) -> None:
    """On the built-in inventory, whose people's mean is not the middle, and with norms of a file."""
    normed = replace(
        BUILTIN, norms=PublishedNorms((Norm("E", 3.6, 0.7, group="men"), Norm("E", 3.9, 0.4, group="women")))
    )
    contrast = load_contrast("big5")
    for inventory, spec in ((BUILTIN, f"traits:E={z}"), (normed, f"traits:E={z},group=men")):
        personas = contrast_personas(spec, contrast, inventory, "auto", Silent())
        (whole,) = personas.personas.parts([(0, 1)])
        weights = dict(zip(personas.traits, personas.weights(whole, range(1))[0], strict=True))
        assert weights.pop("E") == pytest.approx(z)
        assert set(weights.values()) == {0.0}


def test_one_person_is_compared_with_the_norms_that_a_file_gives() -> None:
    few = PersonaSet("ada", ("ada",), np.array([[4.0, 4.0, 6.0, 0.0]]))
    norms = Norms.of(INVENTORY, few, ("Mach", "Narc", "Else"))
    assert (norms.mean.tolist(), norms.spread.tolist(), norms.persons) == ([3, 5, 4], [0.5, 1, pytest.approx(0.9)], 1)
    assert Norms.of(replace(INVENTORY, norms=PublishedNorms()), few, ("Mach",)).persons == 0
    assert Norms.of(GROUPS, few, ("Mach",)).mean.tolist() == [4], "nobody said which group"
