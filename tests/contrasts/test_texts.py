"""The texts that come with pasctl: descriptions and prompts."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from pasctl.contrasts import (
    EVERYDAY_PROMPTS,
    JUDGES,
    NEUTRAL_QUESTIONS,
    SELF_REPORT_PROMPTS,
    TUNING_PROMPTS,
    WORDINGS,
    describe,
    load_contrast,
)
from pasctl.inventory import builtin_inventory, papi_inventory
from pasctl.inventory.item import Item
from pasctl.inventory.usual import USUAL_TRAITS

POLE_WORDS = {
    f"{trait.code}{sign}": words for trait in USUAL_TRAITS for sign, words in (("+", trait.high), ("-", trait.low))
}
TRAITS = ("O", "C", "E", "A", "N")

PROMPTS = (NEUTRAL_QUESTIONS, SELF_REPORT_PROMPTS, TUNING_PROMPTS, EVERYDAY_PROMPTS)
DESCRIPTIONS = [
    side for table in (WORDINGS, JUDGES) for wordings in table.values() for pair in wordings for side in pair
]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z'-]+", text.lower())


def content(texts: list[str]) -> set[str]:
    """Words of five letters and more, which say what a description is about."""
    return {word for text in texts for word in words(text) if len(word) >= 5 and word != "without"}


def sides(table: dict[str, tuple[tuple[str, str], ...]], trait: str) -> list[str]:
    return [side for pair in table[trait] for side in pair]


def test_every_trait_has_its_wordings_and_judges() -> None:
    assert set(WORDINGS) == set(JUDGES) == set(TRAITS)
    assert all(len(wordings) >= 3 for wordings in WORDINGS.values())
    assert all(len(wordings) == 2 for wordings in JUDGES.values())


def test_no_description_occurs_twice() -> None:
    assert [text for text, count in Counter(map(describe, DESCRIPTIONS)).items() if count > 1] == []


def test_judges_share_no_telling_word_with_the_wordings_of_any_trait() -> None:
    fitted = content([side for trait in WORDINGS for side in sides(WORDINGS, trait)])
    judging = content([side for trait in JUDGES for side in sides(JUDGES, trait)])
    assert judging & fitted == set()


def test_both_sides_of_a_description_are_about_as_long() -> None:
    pairs = [pair for table in (WORDINGS, JUDGES) for wordings in table.values() for pair in wordings]
    assert all(abs(len(words(plus)) - len(words(minus))) <= 4 for plus, minus in pairs)


def test_prompts_are_distinct_and_in_one_list_each() -> None:
    every = [" ".join(words(prompt)) for prompts in PROMPTS for prompt in prompts]
    assert [text for text, count in Counter(every).items() if count > 1] == []
    assert [len(prompts) for prompts in PROMPTS] == [8, 4, 12, 30]


def test_no_prompt_names_a_trait() -> None:
    adjectives = content([side for table in (WORDINGS, JUDGES) for trait in table for side in table[trait][0]])
    named = {word for pole in POLE_WORDS.values() for word in pole} - {"kind", "open"}  # "what kind of music"
    asked = {word for prompts in PROMPTS for prompt in prompts for word in words(prompt)}
    assert asked & (adjectives | named) == set()


def test_a_word_names_one_pole() -> None:
    assert sorted(POLE_WORDS) == sorted(load_contrast("big5").poles)
    assert [w for w, count in Counter(itertools.chain(*POLE_WORDS.values())).items() if count > 1] == []


def runs(text: str, length: int = 4) -> set[tuple[str, ...]]:
    return {tuple(words(text)[place : place + length]) for place in range(len(words(text)) - length + 1)}


@pytest.mark.parametrize("source", ["builtin", "papi"])
def test_no_description_or_prompt_has_four_words_in_a_row_of_an_item(source: str) -> None:
    """Items of a questionnaire are what the directions are tested on."""
    items: tuple[Item, ...] = builtin_inventory().items
    if source == "papi":
        if "PASCTL_PAPI" not in os.environ:
            pytest.skip("PASCTL_PAPI names no folder with the PAPI data")
        items = papi_inventory(Path(os.environ["PASCTL_PAPI"])).items
    asked = {run for item in items for run in runs(item.text)}
    texts = [*DESCRIPTIONS, *itertools.chain(*PROMPTS)]
    assert [text for text in texts if runs(text) & asked] == []


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("very outgoing, talkative and full of energy", "who is very outgoing, talkative and full of energy."),
        ("careless", "who is careless."),
        ("curious and serious", "who is curious and serious."),
        ("friendly towards animals", "who is friendly towards animals."),
        ("obsessed with cats", "who is obsessed with cats."),
        ("Very shy.", None),
        ("very shy.", "who is very shy."),
        ("who loves parties", "who loves parties."),
        ("Who loves parties", "who loves parties."),
        ("whose jokes fall flat", "whose jokes fall flat."),
        ("with a short temper", "with a short temper."),
        ("speaks like a cautious lawyer", "who speaks like a cautious lawyer."),
        ("Speaks like a cautious lawyer", "who speaks like a cautious lawyer."),
        ("always tells jokes", "who always tells jokes."),
        ("never, ever lies", "who never, ever lies."),
        ("bravely fights dragons", "who bravely fights dragons."),
        ("doesn't care", "who doesn't care."),
        ("cannot keep still", "who cannot keep still."),
        ("is afraid of\n dogs", "who is afraid of dogs."),
        ("USA-born and loud", "who is USA-born and loud."),
    ],
)
def test_describe_speaks_of_a_person(description: str, text: str | None) -> None:
    assert describe(description) == (description if text is None else f"You are a person {text}")


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("a cautious lawyer", "You are a cautious lawyer."),
        ("someone who sings", "You are someone who sings."),
        ("like an old sailor", "You are like an old sailor."),
        ("speak like a lawyer", "You speak like a lawyer."),
        ("Act like a pirate", "You act like a pirate."),
        ("be kind", "You are kind."),
        ("you love parties", "You love parties."),
        ("You are shy.", "You are shy."),
        ("  You are   shy. ", "You are shy."),
        ("Answer as a pirate would!", "Answer as a pirate would!"),
        ("你是一个律师。", "你是一个律师。"),
    ],
)
def test_describe_keeps_nouns_commands_and_sentences(description: str, text: str) -> None:
    assert describe(description) == text


def test_describe_leaves_its_own_text_as_it_is() -> None:
    for description in DESCRIPTIONS:
        text = describe(description)
        assert text.startswith(("You are a person who ", "You are a person with "))
        assert text.endswith(".")
        assert describe(text) == text
