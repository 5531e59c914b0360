from __future__ import annotations

import re
from pathlib import Path

import pytest

from pasctl.inventory import builtin_inventory, first_person, papi_inventory, second_person, wording_digest

# Two words that cannot stand beside each other in a sentence whose subject was put in front twice or for nothing.
_BROKEN = re.compile(r"\bI (?:I|i|my|myself|am am|am not am|is|are|was|other|others|people|the|a)\b")


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("Make friends easily.", "I make friends easily."),
        ("Am easily intimidated.", "I am easily intimidated."),
        ("Am not easily annoyed.", "I am not easily annoyed."),
        ("Interested in many things.", "I am interested in many things."),
        ("Willing to try anything once.", "I am willing to try anything once."),
        ("Don't talk a lot.", "I don't talk a lot."),
        ("Often feel blue.", "I often feel blue."),
        ("Would never cheat on my taxes.", "I would never cheat on my taxes."),
        ("Feel that I'm unable to deal with things.", "I feel that I'm unable to deal with things."),
        ('Want everything to be "just right."', 'I want everything to be "just right."'),
        ("Suffer from others' sorrows.", "I suffer from others' sorrows."),
        ("  Seek quiet  ", "I seek quiet."),
        ("Laugh aloud!", "I laugh aloud!"),
    ],
)
def test_an_item_without_a_subject_gets_one(item: str, sentence: str) -> None:
    assert first_person(item) == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "I am often late for work.",
        "I'm sure I've lost my keys.",
        "I’m never late.",
        "My desk is tidy.",
        "Other people tire me.",
        "People like me.",
        "When I am alone, I sing.",
        "There is a piano in my room.",
    ],
)
def test_a_whole_sentence_stays_as_it_is(sentence: str) -> None:
    assert first_person(sentence) == sentence


def test_it_is_the_same_the_second_time() -> None:
    for item in ("Make friends easily.", "Interested in many things.", "Can't make up my mind.", "Seek quiet"):
        assert first_person(first_person(item)) == first_person(item)


def test_all_items_of_the_built_in_inventory_are_sentences_already() -> None:
    assert [item.text for item in builtin_inventory().items if first_person(item.text) != item.text] == []


def test_all_items_of_papi(papi_folder: Path) -> None:
    items = papi_inventory(papi_folder).items
    assert len(items) == 300
    for item in items:
        sentence = first_person(item.text)
        # PAPI's items have no subject: the result is "I" (and "am") in front of the same words.
        rest = item.text[:1].lower() + item.text[1:]
        assert sentence in (f"I {rest}", f"I am {rest}"), sentence
        assert (sentence == f"I am {rest}") == (rest.split()[0] in ("interested", "willing")), sentence
        assert not _BROKEN.search(sentence), sentence
        assert first_person(sentence) == sentence
        assert second_person(sentence) == second_person(item.text)


def test_the_digest_of_the_wording_is_that_of_stored_keys() -> None:
    # Part of the keys of stored activations and results: another value would compute all of them again.
    assert wording_digest() == "2b7a71c3f1b1f73b22727706e2f2b5cd9c97ae2570056951851abfc58ba66c60"
