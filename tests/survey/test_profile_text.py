"""A profile fits its width, and its bars run over the inventory's scale."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len

from pasctl.inventory import Inventory, Item, builtin_inventory, papi_inventory
from pasctl.inventory.traits import Trait
from pasctl.survey.population import NOBODY, Population, population_of
from pasctl.survey.profile import agreements_of, profile
from pasctl.survey.profile_text import profile_text

INVENTORY = builtin_inventory()
PEOPLE = population_of("builtin", INVENTORY)


def text_of(entries: dict[str, int | None], width: int = 80, population: Population = PEOPLE) -> str:
    scores = profile(INVENTORY, agreements_of(INVENTORY, entries), population, np.arange(60))
    heading = "ada: 60 of 60 items answered (inventory builtin)"
    return profile_text(scores, population, INVENTORY, heading=heading, width=width)


@pytest.mark.parametrize("width", [30, 44, 60, 80, 100])
def test_a_profile_keeps_to_its_width_and_has_a_line_for_all(width: int) -> None:
    text = text_of({item.id: 4 for item in INVENTORY.items}, width)
    assert max(map(len, text.splitlines())) <= width
    for name in ("Openness", "Neuroticism", *{item.facet for item in INVENTORY.items}):
        assert name in text
    assert "50 simulated respondents, no people" in " ".join(text.split())


@pytest.mark.parametrize(("agreement", "bar"), [(1, "[" + "." * 32 + "]"), (5, "[" + "#" * 32 + "]")])
def test_the_bar_runs_from_1_to_5(agreement: int, bar: str) -> None:
    entries = {item.id: agreement if item.key > 0 else 6 - agreement for item in INVENTORY.items}
    lines = [line for line in text_of(entries).splitlines() if line.startswith("Openness")]
    assert lines[0].split()[1:] == [f"{agreement}.00", bar, "12/12", "100" if agreement == 5 else "0"]


def test_a_trait_without_an_answer_has_a_dash() -> None:
    lines = text_of({"E01": 3}).splitlines()
    (openness,) = (line for line in lines if line.startswith("Openness"))
    assert openness.split() == ["Openness", "-", f"[{'.' * 32}]", "0/12", "-"]


def test_a_profile_of_papi_names_its_respondents_and_not_a_simulation(small_papi: object) -> None:
    spec = f"papi:{small_papi}"
    inventory = papi_inventory(str(small_papi))
    population = population_of(spec, inventory)
    scores = profile(inventory, population.agreements(inventory)[0], population, np.arange(50))
    text = " ".join(profile_text(scores, population, inventory, heading="ada", width=400).split())
    assert f"among the 60 respondents of {spec}, by the mean" in text
    assert "validated" not in text


@pytest.mark.parametrize("width", [30, 44, 60, 80])
def test_long_names_wide_letters_and_many_digits_keep_to_the_width(width: int) -> None:
    traits = (
        Trait("A", "对陌生人和新事物的开放程度以及好奇心的强弱"),
        Trait("B", "A trait whose name nobody would want to read"),
    )
    items = tuple(
        Item(f"{t.code}{n}", f"Item {n}.", t.code, "alle miteinander", 1, "fit") for t in traits for n in range(120)
    )
    inventory = Inventory("wide", items, ("much", "less", "least"), (100, 0, -100), known_traits=traits)
    own = np.full(240, -100.0)
    scores = profile(inventory, own, Population(absent=NOBODY), inventory.indices("all"))
    text = profile_text(scores, Population(absent=NOBODY), inventory, heading="ada", width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert text.count("-100.00") == 4
    assert "120/120" in text
