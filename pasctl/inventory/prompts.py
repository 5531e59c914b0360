"""The texts that a model is shown: question, few-shot and personality prompt. Plain strings, no tokenizer."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.first_person import OWN_SUBJECT, WITHOUT_VERB, with_subject
from pasctl.inventory.items import LETTERS, IntArray, Inventory, Item, canonical_digest

ORDERS = ("forward", "reversed")
_ROTATED = tuple(f"{order}+{shift}" for order in ORDERS for shift in range(1, len(LETTERS)))
MOST_ORDERS = len(ORDERS) + len(_ROTATED)

WORDING_VERSION = 1  # raise it when the code below changes a text that the constants do not show

INSTRUCTION = (
    "Below are five options and one statement. Choose the option that says how accurately the statement describes you. "
    "Reply with the letter of that option and nothing else."
)
STATEMENT = "Statement: "

FEW_SHOT_HEAD = (
    "You fill in a personality questionnaire as one particular person. Here is how accurately, by this person's own "
    "account, some statements describe them:"
)
FEW_SHOT_LINE = "- {text} -> {label}"
FEW_SHOT_TAIL = "Answer every question the way this person would."

PERSONALITY_HEAD = "This is who you are."
PERSONALITY_TAIL = "Answer every question as the person described here."
DEGREES = {
    5: "It is very true of you that",
    4: "It is somewhat true of you that",
    3: "It is neither true nor untrue of you that",
    2: "It is somewhat untrue of you that",
    1: "It is not at all true of you that",
}


def letter_levels(order: str) -> tuple[int, ...]:
    """Agreement that each of the letters A..E stands for, when the options are listed in this order.

    "forward" lists them as printed, "reversed" from the other end, and "forward+2" begins two options later and goes
    round.
    """
    if order not in (*ORDERS, *_ROTATED):
        raise InputError(f"option order is one of {', '.join((*ORDERS, *_ROTATED))}, found {order!r}")
    base, _, shift = order.partition("+")
    levels = (5, 4, 3, 2, 1) if base == "forward" else (1, 2, 3, 4, 5)
    return (*levels[int(shift or 0) :], *levels[: int(shift or 0)])


def draw_orders(count: int, seed: int) -> tuple[str, ...]:
    """So many orders of the options: forward, then reversed, then rotations of both, drawn by the seed, each once.

    Raises:
        InputError: less than 1, or more than there are.
    """
    if not 1 <= count <= MOST_ORDERS:
        raise InputError(f"option orders: expected 1 to {MOST_ORDERS}, found {count}")
    rotated = [_ROTATED[place] for place in np.random.default_rng(seed).permutation(len(_ROTATED))]
    return (*ORDERS, *rotated)[:count]


def question(item: Item, inventory: Inventory, order: str = "forward") -> str:
    """The user's turn for one item.

    The options stand before the statement, and the statement ends the text: so all items of an inventory share one long
    token prefix, which is computed once, and little follows the part that differs.
    """
    labels = labels_by_level(inventory)
    options = [f"{letter}. {labels[level]}" for letter, level in zip(LETTERS, letter_levels(order), strict=True)]
    return "\n".join([INSTRUCTION, *options, "", STATEMENT + item.text])


def labels_by_level(inventory: Inventory) -> dict[int, str]:
    """Agreement 1..5 -> option label."""
    return dict(zip((5, 4, 3, 2, 1), inventory.labels, strict=True))


def few_shot(inventory: Inventory, agreements: npt.NDArray[np.float64], columns: IntArray) -> str:
    """System text that lists one person's answers in words.

    In words, not letters: a letter means one thing in the forward and another in the reversed order.

    Args:
        inventory: The items.
        agreements: One person's row, float64 [I], NaN where missing.
        columns: The items to list, as a rule `inventory.indices("fit")`. Missing answers are left out; 3 is an answer.
    """
    labels = labels_by_level(inventory)
    lines = [
        FEW_SHOT_LINE.format(text=inventory.items[column].text, label=labels[level].lower())
        for column, level in _answered(agreements, columns)
    ]
    return "\n".join([FEW_SHOT_HEAD, *lines, FEW_SHOT_TAIL])


def personality_prompt(inventory: Inventory, agreements: npt.NDArray[np.float64], columns: IntArray) -> str:
    """System text that describes one person in the second person, one paragraph per degree of agreement.

    Rendered from agreements, so it also says the right thing about items keyed -1. Arguments as for `few_shot`.
    """
    answered = _answered(agreements, columns)
    paragraphs = []
    for level, opening in DEGREES.items():
        clauses = [second_person(inventory.items[column].text) for column, given in answered if given == level]
        if clauses:
            paragraphs.append(f"{opening} {'; '.join(clauses)}.")
    return "\n".join([PERSONALITY_HEAD, *paragraphs, PERSONALITY_TAIL])


def wording_digest() -> str:
    """sha256 over every fixed text of this module, for the store's keys: another wording is another experiment."""
    constants = [
        INSTRUCTION,
        STATEMENT,
        FEW_SHOT_HEAD,
        FEW_SHOT_LINE,
        FEW_SHOT_TAIL,
        PERSONALITY_HEAD,
        PERSONALITY_TAIL,
    ]
    return canonical_digest(
        {
            "version": WORDING_VERSION,
            "texts": constants,
            "degrees": [[level, text] for level, text in DEGREES.items()],
            "letters": LETTERS,
            "second_person": [_SECOND, sorted(OWN_SUBJECT), sorted(WITHOUT_VERB)],
        }
    )


def _answered(agreements: npt.NDArray[np.float64], columns: IntArray) -> list[tuple[int, int]]:
    """(column, agreement) of the answers that are there; the model is told whole degrees, so others are refused."""
    answered = [(int(c), float(agreements[c])) for c in columns if not np.isnan(agreements[c])]
    if not answered:
        raise InputError(f"nothing to describe this persona by: none of {len(columns)} items is answered")
    odd = [value for _, value in answered if not value.is_integer()]
    if odd:
        raise InputError(f"prompts need whole agreements 1..5, found {odd[0]}")
    return [(column, int(value)) for column, value in answered]


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
    clause = with_subject(re.sub(r"\.(?=[\"'”’]*$)", "", text.strip().replace("’", "'")))
    clause = _WAS.sub(r"\1 were", clause)
    return _FIRST.sub(lambda found: _SECOND[found[0].lower()], clause)
