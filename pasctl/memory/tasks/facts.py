"""Questions about made-up people: in paragraphs like all others, in two steps, in other words, corrected, or unsaid.

ruler-qa-1      one paragraph of a person has the answer
ruler-qa-2      one paragraph names another person, whose paragraph has the answer
no-overlap      the question shares no word with what tells the answer
state           a thing is carried from place to place; where is it at the end
update          a fact is told, and overridden later on
contradiction   two witnesses say different things, and the text says whose account was wrong
abstention      of odd seeds like ruler-qa-1; of even ones the text does not tell, and the answer is "unknown"
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pasctl.memory.tasks.filler import around, varied, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream
from pasctl.memory.tasks.words import coined

CRAFTS = (
    "botanist",
    "glazier",
    "falconer",
    "surveyor",
    "composer",
    "chemist",
    "jeweller",
    "saddler",
    "smelter",
    "bishop",
)
SPREAD = 0.3
UNKNOWN = "unknown"
# what is told -> what is asked: no content word in common, and nothing but the meaning leads from one to the other
PARAPHRASES = (
    ("{name} speaks nothing but Portuguese since childhood.", "Whose mother tongue is that of Lisbon?"),
    ("{name} is allergic to anything with milk.", "Who cannot eat cheesecake?"),
    ("{name} has climbed the Matterhorn twice.", "Who stood on a Swiss peak?"),
    ("{name} plays the tuba every Sunday.", "Which person makes music on brass?"),
    ("{name} owns three poodles.", "Who keeps pets that bark?"),
    ("{name} grew up beside the Eiffel tower.", "Who spent youth in Paris?"),
    ("{name} flies airliners for a living.", "Whose profession is that of pilots?"),
    ("{name} teaches algebra to teenagers.", "Who instructs pupils in mathematics?"),
)
PLACES = ("cellar", "attic", "stable", "greenhouse", "vestry", "dairy", "gatehouse", "pantry")


def _people(rng: random.Random) -> Iterator[str]:
    return (
        f"{first.capitalize()} {last.capitalize()}" for first, last in zip(coined(rng, 2), coined(rng), strict=False)
    )


def _paragraph(rng: random.Random, name: str, town: str, teacher: str) -> str:
    born, craft = rng.randrange(1500, 1990), rng.choice(CRAFTS)
    return f"{name}, a {craft} born in the year {born}, lived in {town}. {name} was a pupil of {teacher}."


def _paragraphs(rng: random.Random, names: Iterator[str], towns: Iterator[str]) -> Iterator[str]:
    while True:
        yield _paragraph(rng, next(names), next(towns).capitalize(), next(names))


def make_qa_1(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Where did somebody live: one paragraph among others of the same form."""
    return _make_people("ruler-qa-1", length, depth, seed, count, steps=1)


def make_qa_2(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Where did somebody's teacher live: two paragraphs."""
    return _make_people("ruler-qa-2", length, depth, seed, count, steps=2)


def make_abstention(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Where did somebody live, of whom half of the texts do not say it; the answer then is "unknown"."""
    return _make_people("abstention", length, depth, seed, count, steps=1, absent=seed % 2 == 0)


def _make_people(
    task: str, length: int, depth: float, seed: int, count: CountTokens, *, steps: int, absent: bool = False
) -> Trial:
    rng = random_stream(task, length, depth, seed)
    names, towns = _people(rng), coined(rng, 4)
    pupil, teacher, other = next(names), next(names), next(names)
    homes = [next(towns).capitalize() for _ in range(2)]
    wanted = [_paragraph(rng, pupil, homes[0], teacher), _paragraph(rng, teacher, homes[1], other)][:steps]
    answer = homes[steps - 1]
    if absent:  # the person is there, as somebody's teacher; where that person lived is not
        wanted, answer = [_paragraph(rng, next(names), homes[1], pupil)], UNKNOWN
    opening = "The paragraphs below are about different people. Questions about them follow."
    facts = list(zip(around(depth, len(wanted), SPREAD), wanted, strict=True))
    text = weave(length, facts, _paragraphs(rng, names, towns), count, separator="\n\n", opening=opening)
    asked = pupil if steps == 1 else f"the person whose pupil was {pupil}"
    question = f"In which town did {asked} live? Answer with its name alone."
    if task == "abstention":
        question = f"{question} If the text does not say it, answer: {UNKNOWN}."
    return Trial(task, length, depth, seed, text, question, (answer,), tuple(wanted))


def make_no_overlap(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """One sentence about somebody; the question shares no word with it (after A. Modarressi and others, "NoLiMa")."""
    task = "no-overlap"
    rng = random_stream(task, length, depth, seed)
    name = next(coined(rng)).capitalize()
    told, question = rng.choice(PARAPHRASES)
    needle = told.format(name=name)
    text = weave(length, [(depth, needle)], varied(rng), count, opening="Read the text below.")
    return Trial(task, length, depth, seed, text, question, (name,), (needle,))


def make_state(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Two things are carried about; where is one of them at the end: its last move has to be told from earlier ones."""
    task = "state"
    rng = random_stream(task, length, depth, seed)
    names = coined(rng)
    bearer, (thing, other) = next(names).capitalize(), (next(names), next(names))
    places, elsewhere = rng.sample(PLACES, 4), rng.sample(PLACES, 4)
    moves = [f"{bearer} took the {thing} to the {place}." for place in places]
    facts = list(zip(around(depth, len(moves), SPREAD), moves, strict=True))
    depths = sorted(rng.random() for _ in elsewhere)
    facts += [(d, f"{bearer} took the {other} to the {place}.") for d, place in zip(depths, elsewhere, strict=True)]
    opening = "Things are carried from place to place in the text below. Remember where they are at its end."
    text = weave(length, facts, varied(rng), count, opening=opening)
    question = f"Where is the {thing} at the end of the text? Answer with one word."
    return Trial(task, length, depth, seed, text, question, (places[-1],), tuple(moves))


def make_update(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """A number is told and overridden twice; the last one counts."""
    task = "update"
    rng = random_stream(task, length, depth, seed)
    name = next(coined(rng)).capitalize()
    values = rng.sample(range(10_000, 100_000), 3)
    facts = [
        f"The telephone number of {name} is {values[0]}.",
        f"{name} has changed telephone numbers: the number is {values[1]} now.",
        f"Once more {name} has a new telephone number, which is {values[2]}.",
    ]
    opening = "Facts in the text below change. What is told later replaces what was told before."
    placed = list(zip(around(depth, len(facts), SPREAD), facts, strict=True))
    text = weave(length, placed, varied(rng), count, opening=opening)
    question = f"What is the telephone number of {name} at the end of the text? Answer with it alone."
    return Trial(task, length, depth, seed, text, question, (str(values[-1]),), tuple(facts))


def make_contradiction(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """Two witnesses name different places, and one of them was wrong: the other's account counts."""
    task = "contradiction"
    rng = random_stream(task, length, depth, seed)
    names = coined(rng)
    thing, witnesses = next(names), [next(names).capitalize() for _ in range(2)]
    places, right = rng.sample(PLACES, 2), rng.randrange(2)
    facts = [
        f"{witness} said that the {thing} was in the {place}." for witness, place in zip(witnesses, places, strict=True)
    ]
    facts.append(f"It turned out that {witnesses[1 - right]} had been mistaken about the {thing}.")
    opening = "Witnesses contradict each other in the text below, and some are found to be wrong."
    placed = list(zip(around(depth, len(facts), SPREAD), facts, strict=True))
    text = weave(length, placed, varied(rng), count, opening=opening)
    question = f"Where was the {thing}, by the witness who was right? Answer with one word."
    return Trial(task, length, depth, seed, text, question, (places[right],), tuple(facts))
