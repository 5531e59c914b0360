"""Needles: the code words of several people in prose, two each; the question asks for both words of one person.

Like the multi-key and multi-value needles of C.-P. Hsieh and others, "RULER", COLM 2024. The words of the person asked
for stand around the depth, `SPREAD` of the text apart; those of the others are anywhere.
"""

from __future__ import annotations

from pasctl.memory.tasks.filler import around, varied, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream

OPENING = (
    "Code words of several people are hidden in the long text below. Find and remember them: "
    "you will be asked for them."
)
PEOPLE = 4
SPREAD = 0.05
ORDINALS = ("first", "second")

# Neither these people nor these words occur in the filler.
HOLDERS = (
    "harbour master",
    "night watchman",
    "court jester",
    "station master",
    "head nurse",
    "town crier",
    "lighthouse keeper",
    "chess champion",
    "choir leader",
    "museum guide",
    "balloon pilot",
    "stage director",
)
CODE_WORDS = (
    "obsidian",
    "zither",
    "marzipan",
    "quasar",
    "tundra",
    "bazaar",
    "gazelle",
    "topaz",
    "lagoon",
    "kayak",
    "cobalt",
    "falcon",
    "saffron",
    "glacier",
    "pyramid",
    "tornado",
    "walrus",
    "cactus",
    "dolphin",
    "emerald",
    "volcano",
    "penguin",
    "trumpet",
    "compass",
    "tulip",
    "granite",
    "panther",
    "meteor",
    "bamboo",
    "jasmine",
    "coral",
    "magnet",
    "octopus",
    "velvet",
    "turbine",
    "sphinx",
    "canyon",
    "lobster",
    "nebula",
    "cinnamon",
)


def make(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Two code words each of four people; those asked for are around `depth`."""
    rng = random_stream("needle", length, depth, seed)
    holders = rng.sample(HOLDERS, PEOPLE)
    words = rng.sample(CODE_WORDS, PEOPLE * len(ORDINALS))
    statements = [
        f"The {ordinal} code word of the {holder} is {words[i * len(ORDINALS) + j]}."
        for i, holder in enumerate(holders)
        for j, ordinal in enumerate(ORDINALS)
    ]
    n = len(ORDINALS)
    depths = around(depth, n, SPREAD) + [rng.random() for _ in statements[n:]]
    text = weave(length, list(zip(depths, statements, strict=True)), varied(rng), count, opening=OPENING)
    question = f"What are the first and the second code word of the {holders[0]}?"
    return Trial("needle", length, depth, seed, text, question, tuple(words[:n]), tuple(statements[:n]))
