"""The words users type for contrasts.

- `big5`: trait descriptions that come with pasctl, or the name of a contrast that another package adds
- `A|B`: two descriptions of a person, such as `speaks like a cautious lawyer|speaks like a reckless salesman`
- `pairs:FILE`: a file of pairs, see `pasctl.contrasts.pairs`
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair
from pasctl.contrasts.describe import describe
from pasctl.contrasts.descriptions import WORDINGS
from pasctl.contrasts.pairs import read_pairs
from pasctl.contrasts.questions import NEUTRAL_QUESTIONS
from pasctl.errors import InputError
from pasctl.registry import Registry

CONTRASTS = Registry("contrast", {"big5": "pasctl.contrasts.spec:big5"}, group="pasctl.contrasts")
"""Contrasts by name: functions without parameters that give one, or contrasts."""

CONTRAST_FORMS = (
    "contrasts are: big5, two descriptions such as 'speaks like a lawyer|speaks like a salesman', or pairs:FILE "
    "(.jsonl, .json, .csv or .tsv)"
)
_MOST_WORDS = 3  # of each description in the name
_COMMON = frozenset(
    ["a", "an", "and", "as", "in", "is", "like", "of", "the", "to", "very", "who", "with", "you", "are"]
)


def load_contrast(spec: str) -> Contrast:
    """The contrast that `spec` names; see the module's docstring.

    Raises:
        InputError: an unknown form, not two descriptions, two that are equal, a file that holds no pairs.
        MissingError: there is no such file.
    """
    if spec.startswith("pairs:"):
        place = spec.removeprefix("pairs:").strip()
        if not place:
            raise InputError("contrast 'pairs:' names no file, expected pairs:FILE", hint="such as pairs:pairs.jsonl")
        return read_pairs(Path(place))
    if "|" in spec:
        return two_descriptions(spec)
    if spec in CONTRASTS.names():
        named = CONTRASTS.get(spec)
        contrast: Contrast = named if isinstance(named, Contrast) else named()
        return contrast
    added = "".join(f", {name}" for name in CONTRASTS.names() if name != "big5")
    raise InputError(f"unknown contrast {spec!r}", hint=f"{CONTRAST_FORMS}{added}")


def big5() -> Contrast:
    """All wordings of the five traits x the neutral questions, read at the prompt's end; a group is a question."""
    axes = tuple(Axis(trait, f"{trait}+", f"{trait}-") for trait in WORDINGS)
    pairs = tuple(
        pair
        for trait, wordings in WORDINGS.items()
        for plus, minus in wordings
        for pair in _on_questions(trait, plus, minus)
    )
    return Contrast("big5", axes, pairs)


def two_descriptions(spec: str) -> Contrast:
    """The contrast of "A|B": two descriptions on the neutral questions, with the poles "+" and "-".

    Raises:
        InputError: not two descriptions, or two that are equal.
    """
    sides = [" ".join(side.split()) for side in spec.split("|")]
    example = "such as 'speaks like a cautious lawyer|speaks like a reckless salesman'"
    if len(sides) != 2:
        raise InputError(
            f"contrast {spec!r}: expected two descriptions with one | between, found {len(sides)}", hint=example
        )
    if not all(sides):
        raise InputError(f"contrast {spec!r}: expected a description on both sides of |, found one empty", hint=example)
    plus, minus = sides
    if describe(plus).casefold() == describe(minus).casefold():
        raise InputError(
            f"contrast {spec!r}: expected two descriptions that differ, found the same twice", hint=example
        )
    name = contrast_name(plus, minus)
    return Contrast(name, (Axis(name, "+", "-"),), _on_questions(name, plus, minus))


def contrast_name(plus: str, minus: str) -> str:
    """A short name of two descriptions, safe in a file name: "cautious-lawyer-vs-reckless-salesman".

    The words that tell the two apart. A description without a Latin letter is named by its digest.
    """
    words = [_words(plus), _words(minus)]
    named = []
    for own, other, text in ((words[0], words[1], plus), (words[1], words[0], minus)):
        telling = [word for word in own if word not in other and word not in _COMMON] or own
        named.append("-".join(telling[:_MOST_WORDS])[:30].strip("-") or hashlib.sha256(text.encode()).hexdigest()[:8])
    return "-vs-".join(named)


def _words(text: str) -> list[str]:
    """Its words in small ASCII letters and digits."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("’", "").replace("'", ""))
    return re.findall(r"[a-z0-9]+", "".join(sign for sign in plain if not unicodedata.combining(sign)))


def _on_questions(axis: str, plus: str, minus: str) -> tuple[Pair, ...]:
    """One pair per neutral question."""
    return tuple(
        Pair(axis, question, Example(describe(plus), question), Example(describe(minus), question))
        for question in NEUTRAL_QUESTIONS
    )
