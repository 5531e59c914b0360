from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.inventory import (
    ORDERS,
    builtin_inventory,
    few_shot,
    option_levels,
    papi_inventory,
    personality_prompt,
    prompts,
    question,
    second_person,
    simulate,
    trait_poles,
    wording_digest,
)
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.inventory.wording import ENGLISH

INVENTORY = builtin_inventory()
FIT = INVENTORY.indices("fit")


def options(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-E])\. (.+)$", text, re.MULTILINE))


def test_question_shows_each_label_and_the_statement_once() -> None:
    for item in INVENTORY.items:
        for order in ORDERS:
            text = question(item, INVENTORY, order)
            assert sorted(options(text).values()) == sorted(INVENTORY.labels)
            assert text.count(item.text) == 1
            for letter in LETTERS:
                assert text.count(f"{letter}. ") == 1


def test_letters_stand_for_the_agreement_that_their_label_says() -> None:
    level_of = dict(zip(INVENTORY.labels, (5, 4, 3, 2, 1), strict=True))
    for order in ORDERS:
        shown = options(question(INVENTORY.items[0], INVENTORY, order))
        assert tuple(level_of[shown[letter]] for letter in LETTERS) == option_levels(order, 5)
    assert option_levels("forward", 5) == option_levels("reversed", 5)[::-1] == (5, 4, 3, 2, 1)
    with pytest.raises(InputError, match="backward"):
        option_levels("backward", 5)


def test_all_questions_differ_only_in_the_statement_at_the_end() -> None:
    for order in ORDERS:
        texts = [question(item, INVENTORY, order) for item in INVENTORY.items]
        prefix = os.path.commonprefix(texts)  # noqa: RUF071 - characters are meant
        assert [text.removeprefix(prefix) for text in texts] == [
            item.text.removeprefix("I ") for item in INVENTORY.items
        ]
        assert len(prefix) > 200


def test_few_shot_says_what_was_said_and_nothing_about_the_report_items() -> None:
    row = simulate(INVENTORY).agreements[0].copy()
    row[FIT[3]] = np.nan
    text = few_shot(INVENTORY, row, FIT)
    label = {5: "very a", 4: "moderately a", 3: "neither a", 2: "moderately in", 1: "very in"}
    for column, item in enumerate(INVENTORY.items):
        lines = [line for line in text.splitlines() if item.text in line]
        if column in FIT and not np.isnan(row[column]):
            assert len(lines) == 1
            assert label[int(row[column])] in lines[0]
        else:
            assert not lines
    assert set(row[FIT][~np.isnan(row[FIT])]) == {1, 2, 3, 4, 5}  # so that every label was looked at


def test_few_shot_shows_agreement_and_not_the_keyed_score() -> None:
    row = trait_poles("C+", INVENTORY).agreements[0]
    text = few_shot(INVENTORY, row, FIT)
    assert "I let papers and clothes pile up for weeks. -> very inaccurate" in text
    assert "I put my tools back where they belong as soon as I am done. -> very accurate" in text


def test_personality_prompt_says_the_true_thing_about_both_keys() -> None:
    text = personality_prompt(INVENTORY, trait_poles("C+", INVENTORY).agreements[0], FIT)
    very, not_at_all = (line for line in text.splitlines() if line.startswith("It is"))
    assert very.startswith("It is very true of you that")
    assert not_at_all.startswith("It is not at all true of you that")
    for column in FIT:
        item = INVENTORY.items[column]
        if item.trait == "C":
            clause = second_person(item.text)
            assert (clause in very) == (item.key == 1)
            assert (clause in not_at_all) == (item.key == -1)


def test_personality_prompt_groups_every_answer_under_its_degree() -> None:
    row = simulate(INVENTORY).agreements[1]
    text = personality_prompt(INVENTORY, row, FIT)
    for column in FIT:
        (line,) = (line for line in text.splitlines() if second_person(INVENTORY.items[column].text) in line)
        assert line.startswith(INVENTORY.wording.degrees[5 - int(row[column])])


def test_nothing_answered_or_an_answer_beyond_the_scale_is_refused() -> None:
    for render in (few_shot, personality_prompt):
        with pytest.raises(InputError, match="none of 30 items"):
            render(INVENTORY, np.full(60, np.nan), FIT)
        with pytest.raises(InputError, match=r"5\.5"):
            render(INVENTORY, np.full(60, 5.5), FIT)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I am often late for work.", "you are often late for work"),
        ("I'm sure I've lost my keys.", "you're sure you've lost your keys"),
        ("Am afraid that I will do the wrong thing.", "you are afraid that you will do the wrong thing"),
        ("Worry about things.", "you worry about things"),
        ("Do things I later regret.", "you do things you later regret"),
        ("Don't know why I do some of the things I do.", "you don't know why you do some of the things you do"),
        ("Feel that I'm unable to deal with things.", "you feel that you're unable to deal with things"),
        ("Set high standards for myself and others.", "you set high standards for yourself and others"),
        ("Do more than what's expected of me.", "you do more than what's expected of you"),
        ('Want everything to be "just right."', 'you want everything to be "just right"'),
        ("Interested in many things.", "you are interested in many things"),
        ("Willing to try anything once.", "you are willing to try anything once"),
        ("Would never cheat on my taxes.", "you would never cheat on your taxes"),
        ("Can't make up my mind.", "you can't make up your mind"),
        ("I laugh it off when a plan of mine falls through.", "you laugh it off when a plan of yours falls through"),
        ("I was once a quiet child, and school was hard.", "you were once a quiet child, and school was hard"),
        ("I never was on time.", "you never were on time"),
        ("My desk is tidy.", "your desk is tidy"),
        ("Other people tire me.", "other people tire you"),
        ("I don’t mind waiting.", "you don't mind waiting"),
    ],
)
def test_second_person(first: str, second: str) -> None:
    assert second_person(first) == second


def test_no_first_person_is_left(papi_folder: Path) -> None:
    for item in (*papi_inventory(papi_folder).items, *INVENTORY.items):
        clause = second_person(item.text)
        assert clause.startswith("you"), clause
        assert not re.search(r"\b(?:i|am|me|my|mine|myself)\b", clause.lower()), clause
        assert not clause.endswith("."), clause


def test_digest_follows_the_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    before = wording_digest()
    assert before == wording_digest()
    assert re.fullmatch(r"[0-9a-f]{64}", before)
    seen = {before}
    texts = ("instruction", "statement", "few_shot_head", "few_shot_line", "few_shot_tail", "personality_head")
    for name in (*texts, "personality_tail"):
        with monkeypatch.context() as patch:
            patch.setattr(prompts, "ENGLISH", replace(ENGLISH, **{name: getattr(ENGLISH, name) + "!"}))
            seen.add(wording_digest())
    with monkeypatch.context() as patch:
        degrees = (*ENGLISH.degrees[:2], "You are in two minds whether", *ENGLISH.degrees[3:])
        patch.setattr(prompts, "ENGLISH", replace(ENGLISH, degrees=degrees))
        seen.add(wording_digest())
    assert len(seen) == 9


def test_orders_of_the_options_go_round_and_are_drawn_by_the_seed() -> None:
    assert prompts.option_levels("forward+2", 5) == (3, 2, 1, 5, 4)
    assert prompts.option_levels("reversed+4", 5) == (5, 1, 2, 3, 4)
    every = prompts.draw_orders(10, 0)
    assert every[:2] == ("forward", "reversed")
    assert len({prompts.option_levels(order, 5) for order in every}) == 10
    # over all ten, each letter stands for each level twice
    levels = np.array([prompts.option_levels(order, 5) for order in every])
    assert all((levels[:, letter] == level).sum() == 2 for letter in range(5) for level in range(1, 6))
    assert prompts.draw_orders(5, 1) == prompts.draw_orders(10, 1)[:5] != prompts.draw_orders(5, 2)
    for count in (0, 11):
        with pytest.raises(InputError, match=f"expected 1 to 10, found {count}"):
            prompts.draw_orders(count, 0)
    with pytest.raises(InputError, match="forward"):
        prompts.option_levels("forward+5", 5)
