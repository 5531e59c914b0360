"""Persons who are several poles at once, for any questionnaire."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.contrasts import load_contrast
from pasctl.errors import InputError
from pasctl.inventory import Inventory, Item, builtin_inventory, few_shot, load_personas, personality_prompt
from pasctl.inventory.scale import Scale
from pasctl.inventory.traits import Trait
from pasctl.stages.contrast_personas import contrast_personas
from pasctl.stages.progress import Silent

BUILTIN = builtin_inventory()
SEVEN = Scale(tuple(f"label {score}" for score in range(7, 0, -1)))
OWN = Scale(("always", "never"), (10, 0))
INVENTORY = Inventory(
    "two",
    (
        Item("a1", "I plan.", "Mach", "", 1, "fit"),
        Item("a2", "I trust.", "Mach", "", -1, "fit"),
        Item("b1", "I shine.", "Narc", "", 1, "fit"),
        Item("b2", "I bow.", "Narc", "", -1, "report"),
        Item("b3", "They clap. What now?", "Narc", "", 1, "report", scale=OWN, scenario=True),
    ),
    SEVEN.labels,
    known_traits=(Trait("Mach", "Machiavellianism", ("scheming",)), Trait("Narc", "Narcissism"), Trait("Rest")),
)


def answers(spec: str, inventory: Inventory = INVENTORY) -> list[float | None]:
    (row,) = load_personas(spec, inventory).agreements.tolist()
    return [None if value != value else value for value in row]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("Mach+ & Narc-", [7, 1, 1, 7, 0]),
        ("Mach+ & 0.5*Narc-", [7, 1, 2.5, 5.5, 2.5]),
        ("0.5*Mach+", [5.5, 2.5, None, None, None]),
        ("-1*Mach+ & Narc+", [1, 7, 7, 1, 10]),
        ("0.5*Mach+ & 0.25*Mach+", [6.25, 1.75, None, None, None]),  # two weights of an item add
        ("0.75*Mach+ & 0.75*Mach+", [7, 1, None, None, None]),  # and are cut to the scale
        ("Mach+ & Mach- & Narc+", [None, None, 7, 1, 10]),
    ],
)
def test_answers_worked_out_by_hand(spec: str, expected: list[float | None]) -> None:
    assert answers(spec) == expected


def test_names_are_those_of_poles_however_they_are_said() -> None:
    personas = load_personas(" scheming &0.5* narcissism- ,Mach-", INVENTORY)
    assert personas.ids == ("Mach+ & 0.5*Narc-", "Mach-")
    assert np.array_equal(
        personas.agreements, load_personas("Mach+ & 0.5*Narc-,Mach-", INVENTORY).agreements, equal_nan=True
    )
    assert personas.label == "mach+0.5-narc--mach-"


def test_a_single_pole_answers_as_the_pole() -> None:
    both = load_personas("E+,1*N- & E+", BUILTIN)
    poles = load_personas("E+,N-", BUILTIN).agreements
    assert np.array_equal(both.agreements[0], poles[0], equal_nan=True)
    assert np.array_equal(both.agreements[1], np.fmax(poles[0], poles[1]), equal_nan=True)


@pytest.mark.parametrize("spec", ["E+ & 0.5*N-", "E+ & N-,0.3*O+ & -0.7*C+", "2*A+ & E- & 0.5*E+"])
def test_the_answers_are_those_of_a_contrast_with_these_axes(spec: str) -> None:
    contrast = contrast_personas(spec, load_contrast("big5"), BUILTIN, "auto", Silent()).personas
    given = load_personas(spec, BUILTIN)
    (whole,) = contrast.parts([(0, len(contrast))])
    assert given.ids == whole.ids
    assert np.array_equal(given.agreements, whole.agreements, equal_nan=True)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("Mach+ & Psych+", "Mach.*Psych"),
        ("Mach+ & Rest+", "no items of a pole 'Rest"),
        ("x*Mach+", "expected personas with weights"),
        ("Mach+ & ", "expected personas with weights"),
        ("nan*Mach+", "expected personas with weights"),
        ("Mach+ & Mach-", "cancel out"),
        ("Psych+ & Other-", "no items of a pole"),
    ],
)
def test_what_is_no_person_is_one_line(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_personas(spec, INVENTORY)
    assert "\n" not in str(caught.value)


def test_a_coding_is_refused_and_a_file_with_an_ampersand_is_a_file(tmp_path: object) -> None:
    with pytest.raises(InputError, match="stored answers"):
        load_personas("Mach+ & Narc-", INVENTORY, coding="keyed")
    path = f"{tmp_path}/me & you.json"
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"a1": 7}')
    assert answers(path) == [7, None, None, None, None]


# ----- prompts, which need whole scores


def test_prompts_take_the_nearest_option_half_away_from_the_middle() -> None:
    assert [SEVEN.nearest(score) for score in (1, 2.4, 2.5, 3.5, 4, 4.5, 5.5, 5.6, 6.5)] == [1, 2, 2, 3, 4, 5, 6, 6, 7]
    assert [OWN.nearest(score) for score in (2.5, 7.5)] == [0, 10]
    assert SEVEN.nearest(4 + 0.1 + 0.2 + 0.2) == 5
    text = few_shot(INVENTORY, load_personas("Mach+ & 0.5*Narc-", INVENTORY).agreements[0], np.arange(5))
    assert [line.rpartition(" -> ")[2] for line in text.splitlines()[1:-1]] == [
        "label 7",
        "label 1",
        "label 2",
        "label 6",
        "never",
    ]


def test_a_combined_person_is_described_by_all_its_traits() -> None:
    whole, half = (
        personality_prompt(BUILTIN, load_personas(spec, BUILTIN).agreements[0], BUILTIN.indices("fit"))
        for spec in ("E+ & N-", "E+ & 0.5*N-")
    )
    assert "It is somewhat true" not in whole
    assert "It is somewhat true" in half
    for trait in "EN":
        one = personality_prompt(BUILTIN, load_personas(f"{trait}+", BUILTIN).agreements[0], BUILTIN.indices("fit"))
        clauses = one.splitlines()[1].removeprefix("It is very true of you that ").rstrip(".").split("; ")
        assert all(clause in whole for clause in clauses)
