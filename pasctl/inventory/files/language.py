"""The language of an inventory file, and the fixed texts around its items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace

from pasctl.errors import InputError
from pasctl.inventory.files.node import Node
from pasctl.inventory.wording import ENGLISH, Wording

NEUTRAL = replace(
    ENGLISH,
    instruction=(
        "Below are {count} options and one statement. Choose the option that is true of you. Reply with the {answer} "
        "of that option and nothing else."
    ),
    few_shot_head=(
        "You fill in a questionnaire as one particular person. Here are some statements with the answers that this "
        "person gave:"
    ),
    degrees=(),
)
"""The wording of a file that gives none: it fits agreement, frequency and likeness alike."""
LISTS = ("degrees", "self_reports")
TEXTS = tuple(field.name for field in fields(Wording) if field.name not in (*LISTS, "language"))
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

# Words that a language cannot do without, and that few others write alike.
_ENGLISH = """
    the of and to my is are it that with others people do don't have for not at by or from you your others' when
    about than often would can i'm them they what things who be feel like other if time most make get
"""
# German, French, Spanish, Italian, Portuguese, Dutch, the Nordic ones, Polish, Turkish.
_ELSEWHERE = """
    ich der die das und nicht mit mir mich ist ein eine zu auf anderen oft gern sehr für
    je les des est une pas dans pour que qui suis mon avec souvent très
    el los las y soy mi con para muy por mis otros
    il che sono gli della di molto mio non spesso
    eu não uma com meu minha sou muito os
    het een niet van ik mijn vaak
    jag och att inte som på mig det är jeg ikke og er mye minä olen ja en
    nie jest się na mnie jestem bardzo
    bir ve için çok ben
"""
_FEWEST_WORDS = 4.0  # an item, on the average: lists of adjectives have no words that give a language away
_LEAST_ENGLISH = 0.08


def language_of(node: Node | None, texts: Sequence[str], place: str) -> str:
    """The language tag that a file gives; "en" for English texts without one.

    Raises:
        InputError: it is no tag, or there is none and the texts do not look English.
    """
    if node is not None:
        tag = node.text("a language tag such as en, de or zh")
        if _TAG.fullmatch(tag) is None:
            raise node.refusal("a language tag such as en, de or zh")
        return tag
    if not looks_english(texts):
        raise InputError(
            f"{place}: the items do not look English and the file names no language, found {texts[0]!r:.80}",
            hint="add language: de, or the tag of the language that it is; language: en if it is English",
        )
    return "en"


def looks_english(texts: Sequence[str]) -> bool:
    """Whether texts seem to be English, by their letters and their short words."""
    letters = [sign for text in texts for sign in text if sign.isalpha()]
    foreign_letters = sum(not ("a" <= sign.lower() <= "z") for sign in letters)
    if foreign_letters > min(1 + 0.02 * len(letters), 0.5 * len(letters)):  # "naïve" may occur
        return False
    words = [word.replace("’", "'") for text in texts for word in _WORD.findall(text)]
    small = [word.lower() for word in words]
    own, others = frozenset(_ENGLISH.split()), frozenset(_ELSEWHERE.split())
    english = sum(word in own for word in small) + words.count("I")
    if english < sum(word in others for word in small):
        return False
    return len(words) < _FEWEST_WORDS * len(texts) or english >= _LEAST_ENGLISH * len(words)


def wording_of(node: Node | None, language: str, labels: Sequence[str]) -> Wording:
    """The fixed texts of a file: those that it gives, and for the others the neutral ones.

    English items whose answers say how accurate a statement is are asked as the built-in inventory's are.

    Args:
        node: the field `wording`, or None; `degrees` run from the lowest answer up, as the scale does.
        language: of the items.
        labels: of the inventory's scale.
    """
    english = language.split("-")[0].lower() == "en"
    accuracy = english and all("accurate" in labels[place].lower() for place in (0, -1))
    base = replace(ENGLISH if accuracy else NEUTRAL, language=language)
    if node is None:
        return base
    given = node.fields((*TEXTS, *LISTS), "wording")
    texts: dict[str, object] = {name: _kept(value) for name, value in given.items() if name in TEXTS}
    lists = {name: value.texts("a list of texts") for name, value in given.items() if name in LISTS}
    if "degrees" in lists:
        if len(lists["degrees"]) != len(labels):
            raise given["degrees"].refusal(f"{len(labels)} texts, one for each answer of the scale")
        lists["degrees"] = lists["degrees"][::-1]
    try:
        return Wording.from_json(base.to_json() | texts | lists)
    except InputError as error:
        raise InputError(f"{node.where}: {error.message}", hint=error.hint) from error


def _kept(node: Node) -> str:
    """A text with its blank at the end: "Statement: " stands before another text."""
    node.text("a text")
    return str(node.value)
