"""Statements in the first person: items of the IPIP drop their "I", and now and then "am" with it."""

from __future__ import annotations

import re

OWN_SUBJECT = frozenset(
    {"i", "i'm", "i've", "i'd", "i'll", "my", "mine", "a", "an", "the", "it", "there", "this", "that", "when", "if"}
    | {"other", "others", "people", "most", "nothing", "everything", "everyone", "everybody", "nobody"}
)
"""A text that opens with one of these is a sentence with a subject; any other lacks its "I" ("Worry about things.")."""
WITHOUT_VERB = frozenset(["interested", "willing", "afraid", "able", "unable", "ready", "sure"])
"""Openings of texts that lack "am" as well: "Interested in many things.", "Willing to try anything once."."""


def first_person(text: str) -> str:
    """A statement as somebody says it of themselves: "Make friends easily." -> "I make friends easily."."""
    said = with_subject(text.strip().replace("’", "'"))
    return f"{said[:1].upper()}{said[1:]}"


def with_subject(text: str) -> str:
    """A statement with its subject, and a small first letter where that is not "I"."""
    opening = text.split(maxsplit=1)[0].lower()
    rest = text if re.match(r"I\b", text) else f"{text[:1].lower()}{text[1:]}"
    if opening in WITHOUT_VERB:
        return f"I am {rest}"
    return rest if opening in OWN_SUBJECT else f"I {rest}"
