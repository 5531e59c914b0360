"""The contrast of a questionnaire's own statements: what is told, what is asked, and what is in neither."""

from __future__ import annotations

import pytest

from pasctl.contrasts.questionnaire import MOST_QUESTIONS, items_contrast, statements_contrast
from pasctl.errors import InputError
from pasctl.inventory import Inventory, builtin_inventory, first_person, question

INVENTORY = builtin_inventory()


def test_both_poles_are_told_on_the_same_questions_in_two_wordings() -> None:
    contrast = items_contrast(INVENTORY)
    assert contrast.poles == tuple(f"{trait}{sign}" for trait in "OCEAN" for sign in "+-")
    for axis in contrast.axes:
        pairs = contrast.of_axis(axis.name)
        assert len(pairs) == 2 * MOST_QUESTIONS
        assert len({pair.plus.system for pair in pairs}) == 2
        assert all(pair.plus.user == pair.minus.user for pair in pairs)
        assert all(pair.plus.read == "prompt" for pair in pairs)


def test_no_report_item_is_told_or_asked() -> None:
    reported = [item.text for item in INVENTORY.items if item.split == "report"]
    for pair in items_contrast(INVENTORY).pairs:
        for side in (pair.plus, pair.minus):
            assert not any(text in f"{side.system}\n{side.user}" for text in reported)


def test_the_plus_side_agrees_with_items_keyed_plus_and_the_minus_side_with_the_others() -> None:
    contrast = items_contrast(INVENTORY)
    for pair in contrast.pairs:
        few_shot = "->" in str(pair.plus.system)
        if not few_shot:
            continue
        for item in INVENTORY.items:
            if item.trait != pair.axis or item.split != "fit":
                continue
            agrees, differs = f"- {item.text} -> very accurate", f"- {item.text} -> very inaccurate"
            plus, minus = str(pair.plus.system), str(pair.minus.system)
            assert (agrees if item.key > 0 else differs) in plus
            assert (differs if item.key > 0 else agrees) in minus


def test_questions_are_fit_items_in_both_orders_spread_over_the_traits() -> None:
    contrast = items_contrast(INVENTORY)
    asked = {pair.group: str(pair.plus.user) for pair in contrast.pairs}
    by_id = {item.id: item for item in INVENTORY.items}
    orders = [
        order
        for name, text in asked.items()
        for order in ("forward", "reversed")
        if text == question(by_id[name], INVENTORY, order)
    ]
    assert len(orders) == len(asked) == MOST_QUESTIONS
    assert orders.count("forward") == orders.count("reversed")
    assert {by_id[name].trait for name in asked} == set("OCEAN")


def test_an_inventory_without_fit_items_is_refused() -> None:
    from dataclasses import replace

    bare = Inventory(INVENTORY.name, tuple(replace(item, split="report") for item in INVENTORY.items), INVENTORY.labels)
    with pytest.raises(InputError, match="no fit items"):
        items_contrast(bare)


def test_statements_keyed_plus_stand_against_those_keyed_minus() -> None:
    contrast = statements_contrast(INVENTORY)
    for axis in contrast.axes:
        own = [item for item in INVENTORY.items if item.trait == axis.name and item.split == "fit"]
        for side, key in (("plus", 1), ("minus", -1)):
            said = {getattr(pair, side).text for pair in contrast.of_axis(axis.name)}
            assert said == {first_person(item.text) for item in own if item.key == key}
    assert {side.read for pair in contrast.pairs for side in (pair.plus, pair.minus)} == {"mean"}


def test_a_trait_with_one_key_alone_has_no_statements_to_compare() -> None:
    items = tuple(item for item in INVENTORY.items if item.trait != "E" or item.key > 0)
    with pytest.raises(InputError, match="of trait E keyed \\+ and 0 keyed -"):
        statements_contrast(Inventory("half", items, INVENTORY.labels))
