"""Which key gives which answer: a score where it can be typed, else the number of the option.

In lines any number can be typed: the key is the score, `10` and `-3` too, unless two options of an item score the same.
A single key has one character: scores 0 to 9 are their digits, and 10 and 11 are the keys to the right of 9, `0` and
`-` (`-` alone where 0 is a score of its own). Where this leaves a score without a key, the options are numbered from 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pasctl.inventory.scale import Scale

_BEHIND_NINE = ("0", "-")
_MOST_NUMBER = 11


@dataclass(frozen=True)
class Choice:
    """An option of an item.

    Attributes:
        key: What is typed for it.
        score: What is kept.
        label: What it is called.
    """

    key: str
    score: int
    label: str


def choices(scale: Scale, *, lines: bool = False) -> tuple[Choice, ...]:
    """The options of a scale, the lowest score first.

    Args:
        scale: of an item.
        lines: whether a key is a line, which may have several characters.
    """
    scores, labels = scale.scores[::-1], scale.labels[::-1]
    numbered = tuple(range(1, len(scores) + 1))
    numbers = scores if len(set(scores)) == len(scores) else numbered
    if lines:
        keys: Sequence[str] = [str(number) for number in numbers]
    else:
        keys = _single(numbers) or _single(numbered)
    return tuple(Choice(*option) for option in zip(keys, scores, labels, strict=True))


def answers(options: Sequence[Choice]) -> Mapping[str, int]:
    """The score of each key."""
    return {option.key: option.score for option in options}


def keys_told(options: Sequence[Choice]) -> str:
    """The keys in words: "1 to 5", "1 or 2", "1 to 9, 0 or -"."""
    runs: list[list[str]] = []
    for option in options:
        if runs and _follows(runs[-1][-1], option.key):
            runs[-1].append(option.key)
        else:
            runs.append([option.key])
    words = [word for run in runs for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def label_alone(option: Choice) -> str:
    """A label without the number that its key says already: "always" of "10 (always)", nothing of "7"."""
    number = re.fullmatch(rf"{option.key}(?: \((.+)\))?", option.label) if option.key == str(option.score) else None
    return option.label if number is None else number[1] or ""


def _single(numbers: Sequence[int]) -> list[str]:
    """A character for each number; none where one cannot have any."""
    free = [key for key in _BEHIND_NINE if not (key == "0" and 0 in numbers)]
    keys = []
    for number in numbers:
        if 0 <= number <= 9:
            keys.append(str(number))
        elif 9 < number <= _MOST_NUMBER and free:
            keys.append(free.pop(0))
        else:
            return []
    return keys


def _follows(before: str, key: str) -> bool:
    return all(re.fullmatch(r"-?\d+", part) for part in (before, key)) and int(key) == int(before) + 1
