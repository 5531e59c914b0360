"""What users type for contrasts."""

from __future__ import annotations

import re

import pytest

from pasctl.contrasts import NEUTRAL_QUESTIONS, WORDINGS, describe, load_contrast
from pasctl.errors import InputError


def test_big5_is_every_wording_on_every_question() -> None:
    contrast = load_contrast("big5")
    assert contrast.name == "big5"
    assert [(axis.name, axis.plus, axis.minus) for axis in contrast.axes] == [(t, f"{t}+", f"{t}-") for t in "OCEAN"]
    expected = {
        (trait, question, describe(plus), describe(minus))
        for trait, wordings in WORDINGS.items()
        for plus, minus in wordings
        for question in NEUTRAL_QUESTIONS
    }
    assert {(pair.axis, pair.group, pair.plus.system, pair.minus.system) for pair in contrast.pairs} == expected
    assert len(contrast.pairs) == len(expected)
    for pair in contrast.pairs:
        assert pair.group == pair.plus.user == pair.minus.user
        assert {pair.plus.read, pair.minus.read} == {"prompt"}
        assert pair.plus.text == pair.minus.text == ""


def test_two_descriptions_are_one_axis() -> None:
    contrast = load_contrast(" speaks like a cautious lawyer | speaks like a reckless salesman")
    assert contrast == load_contrast("speaks like a cautious lawyer|speaks like a reckless salesman")
    assert contrast.name == "cautious-lawyer-vs-reckless-salesman"
    assert contrast.poles == ("+", "-")
    assert [pair.group for pair in contrast.pairs] == list(NEUTRAL_QUESTIONS)
    for pair in contrast.pairs:
        assert pair.plus.system == "You are a person who speaks like a cautious lawyer."
        assert pair.minus.system == "You are a person who speaks like a reckless salesman."
        assert pair.plus.user == pair.minus.user == pair.group


def test_sides_change_the_digest() -> None:
    assert load_contrast("loud|quiet").digest != load_contrast("quiet|loud").digest


@pytest.mark.parametrize(
    "spec",
    [
        "very calm|very tense",
        "calm|not calm",
        "律师|商人",
        "très aimable|très désagréable",
        "../../etc/passwd|C:\\x",
        "a|the",
        "...|!!!",
        "x" * 300 + "|" + "y z " * 200,
    ],
)
def test_names_are_short_and_safe_in_a_file_name(spec: str) -> None:
    name = load_contrast(spec).name
    assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name), name
    assert len(name) <= 64
    assert load_contrast(spec).name == name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("a|b|c", "expected two descriptions with one | between, found 3"),
        ("|b", "on both sides of |, found one empty"),
        ("a| ", "on both sides of |, found one empty"),
        ("|", "on both sides of |"),
        ("shy|Shy", "that differ, found the same twice"),
        ("who is shy|shy", "that differ, found the same twice"),
        ("Big5", "unknown contrast 'Big5'"),
        ("", "unknown contrast ''"),
        ("pairs:", "names no file, expected pairs:FILE"),
    ],
)
def test_other_words_are_refused_in_one_line_with_an_example(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load_contrast(spec)
    assert error.value.hint
    assert "\n" not in str(error.value) + error.value.hint
