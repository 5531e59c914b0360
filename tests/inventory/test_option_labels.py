"""What a model answers with can be said beside an inventory, and changes what it is asked, not what people are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.inventory import (
    Inventory,
    builtin_inventory,
    check_data,
    chosen_inventory,
    expected_scores,
    few_shot,
    load_inventory,
    load_personas,
    option_names,
    question,
    relative_chances,
)
from tests.inventory.instruments import INSTRUMENTS, write_instrument

BUILTIN = builtin_inventory()


@pytest.mark.parametrize("words", ["letters", "A-E", "a-e", " Letters "])
def test_letters_of_an_inventory_that_has_them_change_nothing(words: str) -> None:
    assert chosen_inventory("builtin", words) == BUILTIN
    assert chosen_inventory(BUILTIN, words).digest == BUILTIN.digest
    assert chosen_inventory(BUILTIN) is BUILTIN


@pytest.mark.parametrize(
    ("words", "names", "line"),
    [
        ("numbers", ("1", "2", "3", "4", "5"), "5. Very accurate"),
        ("1-5", ("1", "2", "3", "4", "5"), "5. Very accurate"),
        ("text", tuple(sorted(BUILTIN.labels)), "- Very accurate"),
    ],
)
def test_numbers_and_texts_name_the_options_and_are_asked_for(words: str, names: tuple[str, ...], line: str) -> None:
    inventory = chosen_inventory("builtin", words)
    assert option_names(inventory) == names
    asked = question(inventory.items[0], inventory)
    assert line in asked.splitlines()
    assert f"Reply with the {inventory.option_labels.removesuffix('s')} of that option" in asked
    assert Inventory.from_json(inventory.to_json()) == inventory
    assert inventory.digest != BUILTIN.digest == inventory.people_digest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("words", "'words' are unknown, expected letters"),
        ("", "are unknown"),
        ("A-E-F", "are unknown"),
        ("1-7", "the numbers of inventory builtin are 1-5"),
        ("A-G", "the letters of inventory builtin are A-E"),
    ],
)
def test_what_names_none_or_a_range_that_is_not_the_inventorys_is_refused(words: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        chosen_inventory("builtin", words)
    assert refused.value.hint
    assert "\n" not in refused.value.message


def test_a_range_is_that_of_the_scores(tmp_path: Path) -> None:
    file = str(write_instrument(tmp_path, "one-trait-from-0-to-10"))
    assert option_names(chosen_inventory(file, "0-10")) == tuple(map(str, range(11)))
    assert option_names(chosen_inventory(file, "A-K"))[-1] == "K"
    with pytest.raises(InputError, match="are 0-10"):
        chosen_inventory(file, "1-11")


def test_people_answered_the_same_questionnaire_whatever_a_model_answers_with() -> None:
    for words in ("numbers", "text"):
        inventory = chosen_inventory("builtin", words)
        for people in ("builtin:0-3", "traits:E=1.5,N=-1"):
            given, plain = (load_personas(people, each) for each in (inventory, BUILTIN))
            np.testing.assert_array_equal(given.agreements, plain.agreements)
    with pytest.raises(InputError, match="answered inventory"):
        load_personas("builtin", replace(BUILTIN, items=BUILTIN.items[:-1]))


def test_answers_of_a_person_are_told_in_the_words_that_the_model_is_to_answer_with() -> None:
    columns = BUILTIN.indices("fit")
    answers = np.full(len(BUILTIN), 5.0)
    assert "-> very accurate" in few_shot(BUILTIN, answers, columns)
    assert "-> Very accurate" in few_shot(chosen_inventory(BUILTIN, "text"), answers, columns)


def test_texts_may_be_those_of_situations_and_of_an_inventory_file(tmp_path: Path) -> None:
    file = tmp_path / "situations.yaml"
    file.write_text("option_labels: text\n" + INSTRUMENTS["scenarios"], encoding="utf-8")
    inventory = load_inventory(str(file))
    item = inventory.items[0]
    assert inventory.option_labels == "text"
    assert set(inventory.option_names(item, (1, 2, 3, 4))) == set(inventory.scale_of(item).labels)
    assert "- I join in after a while." in question(item, inventory).splitlines()


def test_an_instruction_that_cannot_follow_is_told_of(tmp_path: Path) -> None:
    file = str(write_instrument(tmp_path, "german"))
    notes: list[str] = []
    chosen_inventory(file, "letters", notes.append)
    before = list(notes)
    chosen_inventory(file, "text", notes.append)
    [told] = [note for note in notes[len(before) :] if note not in before]
    assert "{answer}" in told
    assert "Buchstaben" in told


def test_the_check_of_an_inventory_shows_it() -> None:
    report = check_data("builtin", option_labels="text")
    assert report.option_labels == "text"
    assert "- Very accurate" in report.prompt
    assert report.respondents == check_data("builtin").respondents


def test_options_that_are_all_but_impossible_still_have_their_shares() -> None:
    logprobs = np.log([[0.2, 0.3, 0.1], [0.5, 0.25, 0.25]])
    lower = logprobs + np.array([[-2000.0], [-400.0]])
    scores = np.array([[1.0, 2.0, 3.0]] * 2)
    np.testing.assert_array_equal(relative_chances(logprobs), np.exp(logprobs))
    expected = expected_scores(relative_chances(lower), scores)
    np.testing.assert_allclose(expected, expected_scores(np.exp(logprobs), scores))
