"""Every option of every scale has one key of its own, which the keys line names."""

from __future__ import annotations

from itertools import product

import pytest

from pasctl.inventory.scale import Scale
from pasctl.survey.keys import Choice, answers, choices, keys_told, label_alone
from pasctl.survey.terminal import meaning


def scale_of(*up: int) -> Scale:
    """A scale of these scores, from the lowest up."""
    return Scale(tuple(f"label {place}" for place in range(len(up), 0, -1)), up[::-1])


SCALES = [
    *(scale_of(*range(low, low + points)) for low, points in product((-5, -1, 0, 1, 2, 90), range(2, 12))),
    scale_of(0, 2, 4),
    scale_of(1, 1, 2, 3),
    scale_of(0, 10, 11),
    scale_of(-3, -3, 5),
]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"{scale.told} of {len(scale)}")
def test_all_options_can_be_chosen_and_no_key_means_two_things(scale: Scale, lines: bool) -> None:
    options = choices(scale, lines=lines)
    assert [(option.score, option.label) for option in options] == list(
        zip(scale.scores[::-1], scale.labels[::-1], strict=True)
    )
    keys = [option.key for option in options]
    assert len(set(keys)) == len(scale)
    assert all(meaning(key) == key for key in keys), "taken for back, skip or quit"
    assert answers(options) == {option.key: option.score for option in options}
    if lines and len(set(scale.scores)) == len(scale):
        assert all(option.key == str(option.score) for option in options)
    if not lines:
        assert all(len(key) == 1 for key in keys)
        if set(scale.scores) <= set(range(10)) and len(set(scale.scores)) == len(scale):
            assert keys == [str(option.score) for option in options]


@pytest.mark.parametrize(
    ("up", "single", "typed"),
    [
        (range(1, 3), "12", "1 2"),
        (range(1, 6), "12345", "1 2 3 4 5"),
        (range(10), "0123456789", "0 1 2 3 4 5 6 7 8 9"),
        (range(11), "0123456789-", "0 1 2 3 4 5 6 7 8 9 10"),
        (range(1, 11), "1234567890", "1 2 3 4 5 6 7 8 9 10"),
        (range(1, 12), "1234567890-", "1 2 3 4 5 6 7 8 9 10 11"),
        (range(-3, 4), "1234567", "-3 -2 -1 0 1 2 3"),
        (range(90, 101), "1234567890-", "90 91 92 93 94 95 96 97 98 99 100"),
        ((0, 2, 4), "024", "0 2 4"),
        ((1, 1, 2, 3), "1234", "1 2 3 4"),
    ],
)
def test_the_keys_of_common_scales(up: tuple[int, ...], single: str, typed: str) -> None:
    scale = scale_of(*up)
    assert [option.key for option in choices(scale)] == list(single)
    assert [option.key for option in choices(scale, lines=True)] == typed.split()


@pytest.mark.parametrize(
    ("up", "single", "typed"),
    [
        (range(1, 3), "1 or 2", "1 or 2"),
        (range(1, 6), "1 to 5", "1 to 5"),
        (range(11), "0 to 9 or -", "0 to 10"),
        (range(1, 12), "1 to 9, 0 or -", "1 to 11"),
        (range(-3, 4), "1 to 7", "-3 to 3"),
        ((0, 2, 4), "0, 2 or 4", "0, 2 or 4"),
    ],
)
def test_the_keys_in_words(up: tuple[int, ...], single: str, typed: str) -> None:
    assert keys_told(choices(scale_of(*up))) == single
    assert keys_told(choices(scale_of(*up), lines=True)) == typed


@pytest.mark.parametrize(
    ("key", "score", "label", "shown"),
    [
        ("7", 7, "7 (fully)", "fully"),
        ("5", 5, "5", ""),
        ("-", 10, "10 (always)", "10 (always)"),
        ("1", 1, "1 or 2 times", "1 or 2 times"),
        ("4", 4, "Rather", "Rather"),
        ("1", -3, "1", "1"),
    ],
)
def test_a_number_is_not_said_twice(key: str, score: int, label: str, shown: str) -> None:
    assert label_alone(Choice(key, score, label)) == shown
