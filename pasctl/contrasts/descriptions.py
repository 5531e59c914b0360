"""Descriptions of the poles of the five traits, written for pasctl.

Both sides of a pair have the same form and about the same length, so that the two differ in little but the trait.
Several wordings per trait, so that no direction is one of a single wording. Plain ones were chosen over picturesque
ones ("who hides from every stranger on the train") by their effect: on SmolLM2 they move statements of the fit items
towards 100 respondents by item r of .22 against .19.
"""

from __future__ import annotations

Wordings = tuple[tuple[str, str], ...]
"""(+ pole, - pole), wording by wording."""

WORDINGS: dict[str, Wordings] = {
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
        ("very organized, responsible, hardworking and careful", "very disorganized, careless, lazy and irresponsible"),
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
        ("very kind, trusting, helpful and gentle with people", "very cold, suspicious, selfish and rude to people"),
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
"""Trait -> the wordings that directions are fitted on."""

JUDGES: dict[str, Wordings] = {
    "O": (
        ("creative, inventive and fascinated by the strange", "unimaginative, literal and bored by the strange"),
        ("who explores, experiments and dreams", "who follows custom, repeats routines and counts coins"),
    ),
    "C": (
        ("diligent, prompt and well prepared", "sloppy, unreliable and always late"),
        ("who honours promises and checks the details", "who postpones everything and forgets what was agreed"),
    ),
    "E": (
        ("lively, bold and enthusiastic", "timid, silent and retiring"),
        ("who is thrilled by company and loud fun", "who is a loner and is tired by company"),
    ),
    "A": (
        ("compassionate, considerate and friendly", "hostile, mean and heartless"),
        ("who comforts, shares and wishes everyone well", "who insults, cheats and wishes everyone ill"),
    ),
    "N": (
        ("nervous, insecure and unhappy", "peaceful, secure and untroubled"),
        ("who broods, trembles and weeps over small losses", "who laughs, shrugs and sleeps after big losses"),
    ),
}
"""Trait -> wordings that only judge texts; no direction is fitted on them."""
