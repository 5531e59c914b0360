"""An item as it is shown fits its width and tells nothing by color."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pasctl.inventory import builtin_inventory
from pasctl.inventory.wording import ENGLISH
from pasctl.survey.keys import choices
from pasctl.survey.question_text import asked_of, question, wrong_key
from pasctl.survey.session import Session, question_order

INVENTORY = builtin_inventory()


def shown(session: Session, width: int = 80, told: str = "") -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system="truecolor", highlight=False)
    console.print(question(session, INVENTORY, told))
    return stream.getvalue()


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
    session, options = Session.begin(("O01",), {}), choices(INVENTORY.scale)
    assert wrong_key("x", session, options) == "'x' is no key here. Keys: 1 to 5, b for back, s for skip, q for leave."
    assert wrong_key("forward", session, options).startswith("This item is open.")
    assert "\x1b" not in wrong_key("\x1b[A", session, options)


def test_the_words_that_items_continue_stand_before_them() -> None:
    """ "I am someone who" is a part of the statement; without it another question is answered."""
    item = replace(INVENTORY.items[0], text="talks a lot.")
    situation = replace(item, scenario=True)
    asked = replace(INVENTORY, wording=replace(ENGLISH, statement="I am someone who "))
    assert asked_of(item, asked) == "I am someone who"
    assert asked_of(situation, asked) == "What would you do?"
    german = replace(INVENTORY, wording=replace(ENGLISH, language="de"))
    assert (asked_of(item, german), asked_of(situation, german)) == ("", "")
    assert "describe" not in asked_of(situation, INVENTORY)
