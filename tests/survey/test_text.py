"""What is shown fits its width and tells nothing by color."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from pasctl.inventory import builtin_inventory, papi_inventory
from pasctl.survey.profile import Population, agreements_of, population_of, profile
from pasctl.survey.session import Session, question_order
from pasctl.survey.text import profile_text, question, wrong_key

INVENTORY = builtin_inventory()
PEOPLE = population_of("builtin", INVENTORY)


def shown(session: Session, width: int = 80, told: str = "") -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system="truecolor", highlight=False)
    console.print(question(session, INVENTORY, told))
    return stream.getvalue()


def text_of(entries: dict[str, int | None], width: int = 80, population: Population = PEOPLE) -> str:
    assert population.personas is not None
    scores = profile(INVENTORY, agreements_of(INVENTORY, entries), population.personas.agreements, np.arange(60))
    heading = "ada: 60 of 60 items answered (inventory builtin)"
    return profile_text(scores, population, INVENTORY, heading=heading, width=width)


def test_an_item_shows_its_text_the_keys_with_their_labels_and_the_answer_it_has() -> None:
    order = question_order(INVENTORY)
    session = Session.begin(order, {"O01": 4, "O02": None})
    text = shown(session)
    assert "3/60" in text
    assert "2 settled, 1 skipped" in text
    assert INVENTORY.items[2].text in text
    for key, label in zip("54321", INVENTORY.labels, strict=True):
        assert f"{key} {label}" in text
    assert "your answer" not in text
    back = session.back()
    assert "You skipped this one." in shown(back)
    assert "> 4 Moderately accurate (your answer)" in shown(back.back())


@pytest.mark.parametrize("width", [20, 30, 46])
def test_a_narrow_terminal_wraps_between_words(width: int) -> None:
    session = Session.begin(question_order(INVENTORY), {"O01": 4}).back()
    plain = "".join(part.split("m", 1)[-1] for part in shown(session, width).split("\x1b["))
    assert max(map(len, plain.splitlines())) <= width
    assert INVENTORY.items[0].text in " ".join(plain.split())


def test_there_is_no_color() -> None:
    codes = {part.split("m")[0] for part in shown(Session.begin(("O01",), {})).split("\x1b[")[1:]}
    assert codes == {"0", "1"}  # bold on and off


def test_a_wrong_key_is_named_beside_the_keys_there_are() -> None:
    session = Session.begin(("O01",), {})
    assert (
        wrong_key("x", session, INVENTORY) == "'x' is no key here. Keys: 1 to 5, b for back, s for skip, q for leave."
    )
    assert wrong_key("forward", session, INVENTORY).startswith("This item is open.")
    assert "\x1b" not in wrong_key("\x1b[A", session, INVENTORY)


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
    assert population.personas is not None
    scores = profile(inventory, population.personas.agreements[0], population.personas.agreements, np.arange(50))
    text = " ".join(profile_text(scores, population, inventory, heading="ada", width=400).split())
    assert f"among the 60 respondents of {spec}, by the mean" in text
    assert "validated" not in text
