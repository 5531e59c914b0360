"""Descriptions of the poles of the five traits, written for pasctl, and the system text made from a description.

Both sides of a pair have the same form and about the same length, so that the two differ in little but the trait.
Several wordings per trait, so that no direction is one of a single wording.
"""

from __future__ import annotations

import re

Wordings = tuple[tuple[str, str], ...]
"""(+ pole, - pole), wording by wording."""

WORDINGS: dict[str, Wordings] = {
    "O": (
        ("very curious, imaginative and eager for new ideas", "very practical, conventional and happy with old ideas"),
        (
            "who paints, reads poetry and wonders how everything might be different",
            "who counts, reads manuals and wants everything to stay as it is",
        ),
        (
            "loves strange art, deep questions and streets that are on no map",
            "loves plain facts, short answers and the same street as every year",
        ),
        (
            "inventive, dreamy and original, with a head full of stories and theories",
            "down-to-earth, traditional and literal, with a head full of prices and timetables",
        ),
    ),
    "C": (
        ("very organized, reliable and hard-working", "very messy, unreliable and lazy"),
        (
            "who plans each day, checks every detail and finishes whatever was begun",
            "who drifts through each day, skips every detail and drops whatever was begun",
        ),
        (
            "arrives early, meets every deadline and leaves a spotless desk",
            "arrives late, misses every deadline and leaves a chaotic desk",
        ),
        (
            "careful, orderly and persistent, with a list for everything and the patience to work through it",
            "careless, disorderly and fickle, with a list for nothing and an excuse for whatever went wrong",
        ),
    ),
    "E": (
        ("very outgoing, talkative and full of energy", "very shy, quiet and withdrawn"),
        (
            "who chats with every stranger on the train and comes alive in a crowd",
            "who hides from every stranger on the train and is worn out by a crowd",
        ),
        (
            "loves noise, jokes and dancing, and gets restless after an hour alone",
            "loves silence, books and privacy, and gets weary after an hour with others",
        ),
        (
            "bold, lively and loud, always the first to speak and glad of company",
            "reserved, timid and soft-spoken, always the last to speak and glad of solitude",
        ),
    ),
    "A": (
        ("very kind, warm and helpful", "very cold, rude and selfish"),
        (
            "who is gentle with everyone, gives without counting and looks for the good in others",
            "who is harsh with everyone, takes without asking and looks for the fault in others",
        ),
        (
            "puts the needs of others first, is quick to say sorry and ends every quarrel",
            "puts personal gain first, is slow to say sorry and wins every quarrel",
        ),
        (
            "generous, patient and modest, with a soft word for friend and stranger",
            "stingy, impatient and arrogant, with a sharp word for friend and stranger",
        ),
    ),
    "N": (
        ("very anxious, tense and moody", "very calm, relaxed and steady"),
        (
            "who lies awake over small problems and expects the next disaster",
            "who sleeps soundly despite big problems and expects the next success",
        ),
        (
            "frets over every little thing, doubts every choice and is close to tears",
            "shrugs off every little thing, stands by every choice and is hard to shake",
        ),
        (
            "nervous, gloomy and full of dread, with a heart that races at any bad news",
            "composed, unworried and free of dread, with a heart that beats slowly at any bad news",
        ),
    ),
}
"""Trait -> the wordings that directions are fitted on."""

JUDGES: dict[str, Wordings] = {
    "O": (
        (
            "creative, open-minded and fascinated by the unusual",
            "unimaginative, narrow-minded and bored by the unusual",
        ),
        (
            "who explores, experiments and asks what else could be true",
            "who follows custom, repeats routines and asks what has worked before",
        ),
    ),
    "C": (
        (
            "disciplined, thorough and dutiful, and prepared well ahead of time",
            "undisciplined, sloppy and negligent, and unprepared until it is too late",
        ),
        (
            "who works steadily toward a goal and double-checks the result",
            "who postpones all effort, loses track and walks off half done",
        ),
    ),
    "E": (
        (
            "sociable, enthusiastic and assertive, and thrilled to meet people",
            "introverted, silent and retiring, and relieved when people leave",
        ),
        (
            "who seeks excitement, attention and a big circle of acquaintances",
            "who seeks peace, distance and a small room without visitors",
        ),
    ),
    "A": (
        ("compassionate, cooperative and considerate", "hostile, quarrelsome and inconsiderate"),
        (
            "who comforts people, shares freely and believes the best of them",
            "who insults people, cheats freely and believes the worst of them",
        ),
    ),
    "N": (
        ("insecure, fearful and emotionally unstable", "secure, fearless and emotionally stable"),
        (
            "who panics under stress, broods for days and feels overwhelmed",
            "who keeps cool under stress, recovers in minutes and feels at ease",
        ),
    ),
}
"""Trait -> wordings that only judge texts; no direction is fitted on them."""

POLE_WORDS = {
    "O+": ("open", "curious", "imaginative"),
    "O-": ("conventional", "practical"),
    "C+": ("conscientious", "organized"),
    "C-": ("careless", "disorganized"),
    "E+": ("extraverted", "extroverted", "outgoing"),
    "E-": ("introverted", "shy"),
    "A+": ("agreeable", "kind"),
    "A-": ("disagreeable", "rude"),
    "N+": ("neurotic", "anxious"),
    "N-": ("calm", "stable"),
}
"""Persona id of a pole -> plain words that name it, the first of which is the one to show."""

_SUBJECTS = frozenset("you you're you've you'd you'll your i i'm i've my we it this".split())
_RELATIVES = frozenset("who whose that with without".split())
_NOUNS = frozenset("a an the someone somebody one like".split())
_ADVERBS = frozenset("always never often sometimes seldom also only just still very too".split())
_ADJECTIVES = frozenset(  # in -ly; other words in -ly are adverbs
    "cowardly costly disorderly elderly fatherly friendly likely lively lonely lovely motherly orderly saintly scholarly "
    "sickly silly ugly unfriendly worldly".split()
)
_AUXILIARIES = frozenset(
    "can can't cannot could couldn't doesn't hasn't isn't may must should will won't would wouldn't".split()
)
_BASE_VERBS = frozenset(
    "act answer are argue avoid be behave believe care do don't enjoy fear feel get give hate have hope keep know laugh "
    "live love make need prefer reply respond say see seek sound speak take talk think trust use want work worry "
    "write".split()
)
_NO_VERB = re.compile(r"(?:ous|ss|us|[^a-z'-].*)$")  # "curious", "careless": an adjective, though it ends in s
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
    text = text.rstrip(_STOP) if not text.endswith("...") else text
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
