"""Questionnaire statements as sentences in the first person: "Make friends easily." -> "I make friends easily."."""

from __future__ import annotations

import re

# A text that opens with one of these is a sentence with a subject; any other lacks its "I" ("Worry about things.").
OWN_SUBJECT = frozenset(
    {"i", "i'm", "i've", "i'd", "i'll", "my", "mine", "a", "an", "the", "it", "there", "this", "that", "when", "if"}
    | {"other", "others", "people", "most", "nothing", "everything", "everyone", "everybody", "nobody"}
)
# IPIP drops "am" with the "I" now and then: "Interested in many things.", "Willing to try anything once."
WITHOUT_VERB = frozenset(["interested", "willing", "afraid", "able", "unable", "ready", "sure"])

_ENDED = re.compile(r"[.!?…][\"'”’)]*$")


def first_person(text: str) -> str:
    """A statement as a sentence about "I", as a person says it of themselves.

    Takes the form of the IPIP without a subject ("Am afraid of many things.", "Don't talk a lot.", "Interested in many
    things."). A sentence with a subject ("I am often late.", "Other people tire me.") stays as it is. A full stop is
    added where there is none.
    """
    clause = with_subject(text.strip())
    sentence = clause[:1].upper() + clause[1:]
    return sentence if _ENDED.search(sentence) else f"{sentence}."


def with_subject(text: str) -> str:
    """The text as a clause with a subject and a small first letter; "I" on its own stays."""
    opening = text.split(maxsplit=1)[0].lower().replace("’", "'")
    clause = text if re.match(r"I\b", text) else text[:1].lower() + text[1:]
    if opening in OWN_SUBJECT:
        return clause
    return f"I am {clause}" if opening in WITHOUT_VERB else f"I {clause}"


def without_stop(text: str) -> str:
    """The text without the full stop that ends it."""
    return re.sub(r"[.。](?=[\"'”’]*$)", "", text.strip())
