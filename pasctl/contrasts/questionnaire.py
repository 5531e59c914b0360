"""Contrasts of a questionnaire's own statements.

`items`, for a model that is asked by letters: who agrees with a trait's fit items against who disagrees. The model is
told in a system text how a person answers them, and is asked fit items; head outputs are read where its letter would
follow. No letter is in these texts, so that none is in the directions, and nothing but the questionnaire's own words
has to be known to the model.

`statements`: fit items keyed + against those keyed -, as what the model says of itself; head outputs are averaged over
a statement's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair
from pasctl.contrasts.questions import self_reports
from pasctl.errors import InputError
from pasctl.inventory import Inventory, few_shot, personality_prompt, question, spoken, trait_poles

ITEMS, STATEMENTS = "items", "statements"
"""What users type for them."""
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
    traits = inventory.trait_codes
    axes = tuple(Axis(trait, f"{trait}+", f"{trait}-") for trait in traits)
    questions = [
        (inventory.items[at].id, question(inventory.items[at], inventory, order))
        for at, order in asked_items(inventory)
    ]
    pairs = tuple(pair for trait in traits for pair in _of_trait(inventory, trait, questions))
    return Contrast(f"{inventory.name}-{ITEMS}", axes, pairs)


def statements_contrast(inventory: Inventory) -> Contrast:
    """Fit items keyed + with fit items keyed -, trait by trait, as replies to a self-report prompt; a group is a pair.

    The shorter side is gone through again, so that every statement is in a pair.

    Raises:
        InputError: a trait has no fit item of one of the keys.
    """
    traits = inventory.trait_codes
    axes = tuple(Axis(trait, f"{trait}+", f"{trait}-") for trait in traits)
    pairs = tuple(pair for trait in traits for pair in _of_keys(inventory, trait))
    return Contrast(f"{inventory.name}-{STATEMENTS}", axes, pairs)


def has_statements(inventory: Inventory) -> bool:
    """Whether every trait has fit items of both keys that are statements, which `statements_contrast` needs."""
    fit = [inventory.items[column] for column in inventory.indices("fit")]
    keys = {(item.trait, item.key) for item in fit}
    both = all((trait, key) in keys for trait in inventory.trait_codes for key in (1, -1))
    return both and not any(item.scenario for item in inventory.items)


def _of_keys(inventory: Inventory, trait: str) -> Iterator[Pair]:
    own = [column for column in inventory.indices("fit").tolist() if inventory.items[column].trait == trait]
    plus, minus = ([column for column in own if inventory.items[column].key == key] for key in (1, -1))
    if not plus or not minus:
        raise InputError(
            f"contrast {STATEMENTS}: inventory {inventory.name} has {len(plus)} fit items of trait {trait} keyed + and "
            f"{len(minus)} keyed -, expected some of both",
            hint=f"use --contrast {ITEMS}, which tells the model how a person answers",
        )
    for number in range(max(len(plus), len(minus))):
        said = (spoken(inventory.items[side[number % len(side)]], inventory) for side in (plus, minus))
        sides = (Example(None, self_reports(inventory)[0], text, "mean") for text in said)
        yield Pair(trait, f"{trait}{number}", *sides)


def asked_items(inventory: Inventory) -> list[tuple[int, str]]:
    """The fit items that `items` asks, by their places, each with the order of its options."""
    fit = inventory.indices("fit").tolist()
    count = min(MOST_QUESTIONS, len(fit))
    if not count:
        raise InputError(f"contrast {ITEMS}: inventory {inventory.name} has no fit items to tell of")
    asked = [fit[place * len(fit) // count] for place in range(count)]
    return [(column, _ORDERS[place % 2]) for place, column in enumerate(asked)]


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
