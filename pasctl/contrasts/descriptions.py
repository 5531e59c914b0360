"""Descriptions of the poles of the five traits, written for pasctl.

Both sides of a pair have the same form and about the same length, so that the two differ in little but the trait.
Several wordings per trait, so that no direction is one of a single wording; in some, both sides are about as welcome,
since good against bad is what traits have in common.
"""

from __future__ import annotations

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
            "methodical, strict and punctual, and always working to a schedule",
            "spontaneous, easygoing and playful, and always ready to improvise",
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
            "shines at gatherings, talks to everyone and hates being alone",
            "fades at gatherings, talks to nobody and loves being alone",
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
            "tender-hearted, trusting and accommodating, and happy to give in to end an argument",
            "tough-minded, skeptical and competitive, and happy to push on to win an argument",
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
            "artistic, open-minded and drawn to mystery",
            "matter-of-fact, conservative and drawn to certainty",
        ),
        (
            "who explores, experiments and asks what else could be true",
            "who follows custom, repeats routines and asks what has worked so far",
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
            "who seeks peace, distance and a tiny room without visitors",
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
        ("insecure, fearful and quickly thrown off balance", "secure, fearless and never thrown off balance"),
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
