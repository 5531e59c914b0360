"""The system text of a description in words: "very shy" -> "You are a person who is very shy."."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SUBJECTS = _words("you you're you've you'd you'll your i i'm i've my we it this")
_RELATIVES = _words("who whose that with without")
_NOUNS = _words("a an the someone somebody one like")
_ADVERBS = _words("always never ever often sometimes seldom also only just still very too quite rather not")
_ADJECTIVES = _words(  # in -ly; other words in -ly are adverbs
    "cowardly costly disorderly elderly fatherly friendly likely lively lonely lovely motherly orderly saintly "
    "scholarly sickly silly ugly unfriendly worldly"
)
_AUXILIARIES = _words("can can't cannot could couldn't doesn't hasn't isn't may must should will won't would wouldn't")
_BASE_VERBS = _words(
    "act answer are argue avoid be behave believe care do don't enjoy fear feel get give hate have hope keep know "
    "laugh live love make need prefer reply respond say see seek sound speak take talk think trust use want work worry "
    "write"
)
_NO_VERB = re.compile(r"(?:ous|ss|us)$")  # "curious", "careless": adjectives, though they end in s
_STOP = ".!?…。！？"


def describe(description: str) -> str:
    """The system text of a description, in the second person: "You are a person who is very outgoing ...".

    Takes adjectives ("very shy and quiet"), a clause ("who loves parties"), a verb phrase ("speaks like a lawyer", or
    "speak like a lawyer"), a noun ("a cautious lawyer"), and a whole sentence: one that begins with "you", or that
    begins with a capital and ends with a full stop, stays as it is.
    """
    text = " ".join(description.split())
    if text[-1:] in _STOP and not text[:1].islower():
        return text
    text = text.rstrip(_STOP)
    first = text.split(maxsplit=1)[0].rstrip(",;:").lower().replace("’", "'") if text else ""
    if first in _SUBJECTS:
        return f"{text[:1].upper()}{text[1:]}."
    if not re.match(r"[A-Z]{2}", text):  # an abbreviation keeps its capitals
        text = text[:1].lower() + text[1:]
    if first in _NOUNS:
        return f"You are {text}."
    if first in _BASE_VERBS:
        return f"You {'are' + text[2:] if first == 'be' else text}."
    if first in _RELATIVES:
        return f"You are a person {text}."
    return f"You are a person who {text}." if _is_verb_phrase(text) else f"You are a person who is {text}."


def _is_verb_phrase(text: str) -> bool:
    """Whether the first word that is no adverb is a verb in the third person: "always speaks softly"."""
    for word in re.findall(r"[^\s,;:]+", text.lower().replace("’", "'")):
        if word in _ADVERBS or (word.endswith("ly") and word not in _ADJECTIVES):
            continue
        return word in _AUXILIARIES or (word.endswith("s") and not _NO_VERB.search(word))
    return False
