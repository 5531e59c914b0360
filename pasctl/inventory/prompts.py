"""The texts that a model is shown: question, few-shot and personality prompt. Plain strings, no tokenizer."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.first_person import OWN_SUBJECT, WITHOUT_VERB, first_person, with_subject, without_stop
from pasctl.inventory.item import Item
from pasctl.inventory.items import IntArray, Inventory, canonical_digest
from pasctl.inventory.scale import USUAL_LETTERS, USUAL_POINTS
from pasctl.inventory.wording import ENGLISH

ORDERS = ("forward", "reversed")

WORDING_VERSION = 1  # raise it when the code below changes a text that the constants do not show


def orders_of(points: int) -> tuple[str, ...]:
    """All orders of so many options: forward, reversed, and the rotations of both, which of two are each other."""
    shifts = range(1, points) if points > 2 else ()
    return (*ORDERS, *(f"{order}+{shift}" for order in ORDERS for shift in shifts))


def option_levels(order: str, points: int) -> tuple[int, ...]:
    """The level, 1 (lowest score) to `points`, of each option in the order in which they are listed.

    "forward" lists them as printed, from the highest score down, "reversed" from the other end, and "forward+2" begins
    two options later and goes round.
    """
    if order not in orders_of(points):
        raise InputError(f"option order is one of {', '.join(orders_of(points))}, found {order!r}")
    base, _, shift = order.partition("+")
    levels = tuple(range(points, 0, -1)) if base == "forward" else tuple(range(1, points + 1))
    return (*levels[int(shift or 0) :], *levels[: int(shift or 0)])


def draw_orders(count: int, seed: int, points: int = USUAL_POINTS) -> tuple[str, ...]:
    """So many orders of the options: forward, then reversed, then rotations of both, drawn by the seed, each once.

    Raises:
        InputError: less than 1, or more than there are.
    """
    rotated = orders_of(points)[len(ORDERS) :]
    most = len(ORDERS) + len(rotated)
    if not 1 <= count <= most:
        raise InputError(f"option orders: expected 1 to {most}, found {count}")
    drawn = [rotated[place] for place in np.random.default_rng(seed).permutation(len(rotated))]
    return (*ORDERS, *drawn)[:count]


def question(item: Item, inventory: Inventory, order: str = "forward") -> str:
    """The user's turn for one item.

    The options stand before the statement, and the statement ends the text: so all items of one scale share one long
    token prefix, which is computed once, and little follows the part that differs.
    """
    scale, wording = inventory.scale_of(item), inventory.wording
    levels = option_levels(order, len(scale))
    names = inventory.option_names(item, levels)
    by_text = inventory.option_labels == "text"
    options = [
        f"- {name}" if by_text else f"{name}. {scale.labels[-level]}" for name, level in zip(names, levels, strict=True)
    ]
    instruction = wording.instruction_for(len(scale), inventory.option_labels, scenario=item.scenario)
    return "\n".join(
        [instruction, *options, "", (wording.scenario if item.scenario else wording.statement) + item.text]
    )


def few_shot(inventory: Inventory, agreements: npt.NDArray[np.float64], columns: IntArray) -> str:
    """System text that lists one person's answers in words.

    In words, not letters: a letter means one thing in the forward and another in the reversed order.

    Args:
        inventory: The items.
        agreements: One person's row, float64 [I], NaN where missing.
        columns: The items to list, as a rule `inventory.indices("fit")`. Missing answers are left out; the middle of
            the scale is an answer. One that lies between options, as a combined person's may, is told as the nearest;
            of two that are as near, as the one further from the middle of the scale.
    """
    wording = inventory.wording
    return "\n".join([wording.few_shot_head, *_answer_lines(inventory, agreements, columns), wording.few_shot_tail])


def personality_prompt(inventory: Inventory, agreements: npt.NDArray[np.float64], columns: IntArray) -> str:
    """System text that describes one person in the second person, one paragraph per degree of agreement.

    Rendered from agreements, so it also says the right thing about items keyed -1. Where the inventory's wording has no
    sentences for the scale, or the items have options of their own, it lists the answers. Arguments as for `few_shot`.
    """
    wording = inventory.wording
    if not inventory.uniform or len(wording.degrees) != len(inventory.scale):
        lines = _answer_lines(inventory, agreements, columns)
        return "\n".join([wording.personality_head, *lines, wording.personality_tail])
    answered = _answered(inventory, agreements, columns)
    paragraphs = []
    for score, opening in zip(inventory.scale.scores, wording.degrees, strict=True):
        texts = [inventory.items[column].text for column, given in answered if given == score]
        clauses = [second_person(text) if wording.english else without_stop(text) for text in texts]
        if clauses:
            paragraphs.append(f"{opening} {'; '.join(clauses)}.")
    return "\n".join([wording.personality_head, *paragraphs, wording.personality_tail])


def wording_digest() -> str:
    """sha256 over every fixed text of the English wording, for the store's keys: another wording is another experiment.

    The texts that an inventory brings are in its own digest.
    """
    constants = [
        ENGLISH.instruction_for(USUAL_POINTS, "letters"),
        ENGLISH.statement,
        ENGLISH.few_shot_head,
        ENGLISH.few_shot_line,
        ENGLISH.few_shot_tail,
        ENGLISH.personality_head,
        ENGLISH.personality_tail,
    ]
    return canonical_digest(
        {
            "version": WORDING_VERSION,
            "texts": constants,
            "degrees": [[USUAL_POINTS - place, text] for place, text in enumerate(ENGLISH.degrees)],
            "letters": USUAL_LETTERS,
            "second_person": [_SECOND, sorted(OWN_SUBJECT), sorted(WITHOUT_VERB)],
        }
    )


def _answer_lines(inventory: Inventory, agreements: npt.NDArray[np.float64], columns: IntArray) -> list[str]:
    """One line for each answer that is there."""
    wording = inventory.wording
    small = wording == ENGLISH and inventory.option_labels != "text"  # there a model is to answer with these very words
    lines = []
    for column, score in _answered(inventory, agreements, columns):
        label = inventory.scales[column].label_of(score)
        lines.append(
            wording.few_shot_line.format(text=inventory.items[column].text, label=label.lower() if small else label)
        )
    return lines


def _answered(inventory: Inventory, agreements: npt.NDArray[np.float64], columns: IntArray) -> list[tuple[int, float]]:
    """(column, score) of the answers that are there; the model is told options, so what lies between is rounded."""
    answered = [
        (int(c), inventory.scales[c].nearest(float(agreements[c]))) for c in columns if not np.isnan(agreements[c])
    ]
    if not answered:
        raise InputError(f"nothing to describe this persona by: none of {len(columns)} items is answered")
    return answered


# ----- from "I ..." or "Am ..." to "you ..."

_SECOND = {
    "i": "you",
    "i'm": "you're",
    "i've": "you've",
    "i'd": "you'd",
    "i'll": "you'll",
    "am": "are",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
}
_FIRST = re.compile(rf"\b(?:{'|'.join(sorted(_SECOND, key=len, reverse=True))})\b", re.IGNORECASE)
# "was" changes only behind its "I": "what it was" stays. An adverb may stand between.
_WAS = re.compile(r"\b(I(?: (?:\w+ly|never|always|often|once))?) was\b")


def second_person(text: str) -> str:
    """A first-person statement as a clause about "you", without its full stop.

    Takes whole sentences ("I am often late for work.") and the form of the IPIP without a subject ("Am afraid of many
    things.", "Don't talk a lot.").
    """
    clause = with_subject(without_stop(text.replace("’", "'")))
    clause = _WAS.sub(r"\1 were", clause)
    return _FIRST.sub(lambda found: _SECOND[found[0].lower()], clause)


def spoken(item: Item, inventory: Inventory) -> str:
    """An item as a person says it of themselves: English ones get their "I" where they lack it.

    Raises:
        InputError: a situation, which nobody says of themselves.
    """
    if item.scenario:
        raise InputError(
            f"item {item.id} of inventory {inventory.name} is a situation, not a statement",
            hint="read its answers by letters: --reading letters",
        )
    return first_person(item.text) if inventory.wording.english else item.text.strip()
