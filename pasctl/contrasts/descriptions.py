"""Descriptions of people: of the poles of the five traits, in several wordings, and of whatever a user describes.

The wordings are pasctl's own. Directions are fitted on WORDINGS; JUDGES describe the same poles in other words, and
are kept for judging texts, so that a text is never judged by the words that its direction was fitted on.
"""

from __future__ import annotations

import re

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair
from pasctl.contrasts.questions import NEUTRAL_QUESTIONS

Wording = tuple[str, str]
"""(plus, minus), as `describe` takes them."""

WORDINGS: dict[str, tuple[Wording, ...]] = {
    "O": (
        (
            "very imaginative, curious, artistic and open to new ideas",
            "very conventional, uncreative, down-to-earth and closed to new ideas",
        ),
        (
            "who loves art, poetry, abstract ideas and trying unusual things",
            "who dislikes art and poetry, avoids abstract ideas and sticks to what is familiar",
        ),
        (
            "with a rich imagination, deep feelings and broad interests",
            "with little imagination, plain tastes and narrow interests",
        ),
    ),
    "C": (
        (
            "very organized, responsible, hardworking and careful",
            "very disorganized, careless, lazy and irresponsible",
        ),
        (
            "who plans ahead, keeps things tidy, works hard and finishes every task",
            "who never plans, leaves a mess, wastes time and leaves tasks unfinished",
        ),
        (
            "with strong self-discipline, order and a sense of duty",
            "with no self-discipline, no order and no sense of duty",
        ),
    ),
    "E": (
        ("very outgoing, talkative and full of energy", "very shy, quiet and withdrawn"),
        (
            "who loves parties, makes friends easily, takes charge and seeks excitement",
            "who avoids parties, keeps to themselves, stays in the background and prefers quiet",
        ),
        (
            "with lots of energy, cheerful, sociable and assertive",
            "with little energy, reserved, solitary and unassertive",
        ),
    ),
    "A": (
        (
            "very kind, trusting, helpful and gentle with people",
            "very cold, suspicious, selfish and rude to people",
        ),
        (
            "who trusts others, helps people, is modest and forgives easily",
            "who distrusts others, uses people, boasts and holds grudges",
        ),
        (
            "with a warm heart, sympathy for others and honest manners",
            "with a cold heart, no sympathy for others and dishonest manners",
        ),
    ),
    "N": (
        ("very anxious, moody, tense and easily upset", "very calm, relaxed, stable and never worried"),
        (
            "who worries a lot, gets stressed, feels sad and panics easily",
            "who rarely worries, stays composed, feels content and handles pressure well",
        ),
        (
            "with frequent fears, anger, low moods and self-doubt",
            "with no fears, an even temper, good moods and self-confidence",
        ),
    ),
}
"""Trait -> descriptions of its poles that directions are fitted on."""

JUDGES: dict[str, tuple[Wording, ...]] = {
    "O": (
        ("inventive, intellectual and drawn to beauty", "unimaginative, matter-of-fact and set in their ways"),
        ("who explores strange thoughts and loves to wonder", "who only cares for practical, ordinary matters"),
    ),
    "C": (
        ("diligent, punctual and well prepared", "sloppy, unreliable and always late"),
        ("who keeps every promise and checks the details", "who puts everything off and forgets what was agreed"),
    ),
    "E": (
        ("lively, social and enthusiastic", "timid, silent and reserved"),
        ("who enjoys company, talks a lot and loves fun", "who is a loner, says little and dislikes company"),
    ),
    "A": (
        ("caring, friendly and considerate", "hostile, mean and heartless"),
        ("who wishes everyone well and likes to cooperate", "who insults people and only looks after number one"),
    ),
    "N": (
        ("nervous, fearful and unhappy", "peaceful, secure and untroubled"),
        ("who is afraid of everything and often in tears", "who is at ease everywhere and hard to disturb"),
    ),
}
"""Trait -> other descriptions of its poles, which nothing is fitted on."""

_SENTENCE = re.compile(r"(you|your|i|my|he|she|they)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"(who|that|whose|with|without|from|in|of)\b", re.IGNORECASE)
_VERB = re.compile(
    r"(?:always |never |often |rarely )?(?!\w*(?:ous|us|ss)\b)"
    r"(?:is|has|does|[a-z]+(?:[^s\W]s|sses|shes|ches|zes|xes|ies|oes))\b(?! and\b|,)"
)
_NOUN = re.compile(r"(an?|the|someone|somebody)\b", re.IGNORECASE)


def describe(description: str) -> str:
    """A system text that makes a model the person described.

    Args:
        description: adjectives ("very shy and quiet"), a clause ("who loves parties", "with a warm heart"), what the
            person does ("speaks like a lawyer"), what they are ("a reckless salesman"), or a whole sentence.
    """
    words = description.strip().rstrip(".")
    if _SENTENCE.match(words):
        return f"{words[:1].upper()}{words[1:]}."
    if _CLAUSE.match(words):
        return f"You are a person {words}."
    if _NOUN.match(words):
        return f"You are {words}."
    if _VERB.match(words):
        return f"You are a person who {words}."
    return f"You are a person who is {words}."


def trait_contrast() -> Contrast:
    """The poles of the five traits: every wording with every neutral question, read where the answer begins."""
    return Contrast(
        "big5",
        tuple(Axis(trait, f"{trait}+", f"{trait}-") for trait in WORDINGS),
        tuple(pair for trait, wordings in WORDINGS.items() for wording in wordings for pair in _asked(trait, wording)),
    )


def own_contrast(name: str, plus: str, minus: str) -> Contrast:
    """Two descriptions of a user's own, whose poles are called + and -."""
    return Contrast(name, (Axis(name, "+", "-"),), tuple(_asked(name, (plus, minus))))


def _asked(axis: str, wording: Wording) -> list[Pair]:
    plus, minus = map(describe, wording)
    return [Pair(axis, question, Example(plus, question), Example(minus, question)) for question in NEUTRAL_QUESTIONS]
