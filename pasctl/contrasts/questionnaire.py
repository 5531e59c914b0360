"""The contrast of a questionnaire's own statements: who agrees with a trait's fit items against who disagrees.

For a model that is asked by letters. The model is told in a system text how a person answers the trait's fit items, and
is asked fit items; head outputs are read where its letter would follow. No letter is in these texts, so that none is in
the directions, and nothing but the questionnaire's own words has to be known to the model.
"""

from __future__ import annotations

from collections.abc import Iterator

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair
from pasctl.errors import InputError
from pasctl.inventory import Inventory, few_shot, personality_prompt, question, trait_poles
from pasctl.inventory.items import TRAITS

ITEMS = "items"
"""What users type for it."""
MOST_QUESTIONS = 16
"""Fit items that are asked: with 8 of the demo model's 30 the directions are as good as with all of them."""
_WORDINGS = (personality_prompt, few_shot)
_ORDERS = ("forward", "reversed")


def items_contrast(inventory: Inventory) -> Contrast:
    """The contrast of an inventory's traits, each told in two wordings; a group is a question.

    Questions are spread evenly over the fit items and show the options in either order in turn.

    Raises:
        InputError: a trait has no fit items, or there are none.
    """
    traits = [trait for trait in TRAITS if trait in inventory.traits]
    axes = tuple(Axis(trait, f"{trait}+", f"{trait}-") for trait in traits)
    questions = _questions(inventory)
    pairs = tuple(pair for trait in traits for pair in _of_trait(inventory, trait, questions))
    return Contrast(f"{inventory.name}-{ITEMS}", axes, pairs)


def _questions(inventory: Inventory) -> list[tuple[str, str]]:
    """(item id, the question's text)."""
    fit = inventory.indices("fit").tolist()
    count = min(MOST_QUESTIONS, len(fit))
    if not count:
        raise InputError(f"contrast {ITEMS}: inventory {inventory.name} has no fit items to tell of")
    asked = [inventory.items[fit[place * len(fit) // count]] for place in range(count)]
    return [(item.id, question(item, inventory, _ORDERS[place % 2])) for place, item in enumerate(asked)]


def _of_trait(inventory: Inventory, trait: str, questions: list[tuple[str, str]]) -> Iterator[Pair]:
    """Both poles in each wording, on each question."""
    columns = inventory.indices("fit")
    plus, minus = trait_poles(f"{trait}+,{trait}-", inventory).agreements
    if not any(inventory.items[column].trait == trait for column in columns.tolist()):
        raise InputError(f"contrast {ITEMS}: inventory {inventory.name} has no fit items of trait {trait}")
    for tell in _WORDINGS:
        sides = [tell(inventory, agreements, columns) for agreements in (plus, minus)]
        for name, text in questions:
            yield Pair(trait, name, *(Example(side, text) for side in sides))
