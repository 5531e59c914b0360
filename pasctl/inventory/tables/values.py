"""What the values of a table mean on the inventory's scale: scores, labels, recodings, and codes of missing answers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pasctl.errors import InputError
from pasctl.inventory.items import listing
from pasctl.inventory.scale import Scale
from pasctl.inventory.tables.table import canonical, number_of, plain
from pasctl.inventory.tables.table_map import TableMap

MISSING_WORDS = frozenset(
    (
        *("", "na", "n/a", "nan", "null", "none", "nil", ".", "-", "--", "#n/a", "#null!", "<na>", "missing"),
        *("prefer not to say", "prefer not to answer", "i prefer not to say", "prefer not to disclose", "refused"),
        *("don't know", "dont know", "do not know", "i don't know", "dk", "no answer", "no response"),
        *("not applicable", "not answered", "skipped", "keine angabe", "k.a.", "k. a.", "weiß nicht", "weiss nicht"),
    )
)
"""What stands for a missing answer, unless it is a label of the scale."""
_FAR = frozenset((-7, -8, -9, -66, -77, -88, -97, -98, -99, -777, -888, -999, -9999, 77, 88, 97, 98, 99))
_FAR_CODES = _FAR | {777, 888, 997, 998, 999, 9999}
_NEAR_CODES = frozenset((0, -1, 9))  # may be a score of another scale
_MOST_FAR, _MOST_ZERO, _MOST_NEAR = 1 / 2, 1 / 3, 1 / 10  # share of all answers
_NUMBER_AND_LABEL = re.compile(r"([+-]?\d+)\s*(?:[-–—=:.)]|\s|(?=\())\s*\(?(.*?)\)?")
_LABEL_AND_NUMBER = re.compile(r"(.*?)\s*[(\[]([+-]?\d+)[)\]]")
_NOT_SAID = "name it in --map FILE: scale: {value: score} for an answer, missing: [value] for none"


@dataclass
class Guesses:
    """What was guessed about values, each with how many answers it is about."""

    missing: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    decimal_commas: int = 0
    recoded: int = 0


@dataclass(frozen=True)
class Values:
    """The values of the columns that are answered on one scale.

    Attributes:
        counts: Column -> value -> how often.
        first: Column -> value -> line of its first occurrence.
        value_labels: Column -> value -> what the file says it means.
        item: Column -> the item's id, for messages.
        where: The file, for messages.
        what: "line" or "row".
    """

    counts: Mapping[str, Mapping[str, int]]
    first: Mapping[str, Mapping[str, int]]
    value_labels: Mapping[str, Mapping[str, str]]
    item: Mapping[str, str]
    where: str
    what: str


def score_values(values: Values, scale: Scale, said: TableMap, guesses: Guesses) -> dict[str, dict[str, float]]:
    """Column -> value -> its score, NaN for a missing answer.

    Args:
        values: Of the columns that are answered on this scale.
        scale: Their scale.
        said: What the user says about values.
        guesses: Is told what was guessed.

    Raises:
        InputError: a value that is neither an answer nor missing; it names the column and what to say about it.
    """
    for raw, score in said.scale.items():
        if score not in scale.scores:
            raise InputError(
                f"map, scale: a score {scale.told} is expected for {raw}, found {score:g}",
                hint="value: score; the scores are those of the inventory",
            )
    codes = _codes(values, scale, said)
    by_label = _by_labels(values, scale)
    return {
        column: {
            value: _score(value, column, values, _Reading(scale, said, codes, by_label.get(column, {})), guesses)
            for value in counts
        }
        for column, counts in values.counts.items()
    }


@dataclass(frozen=True)
class _Reading:
    scale: Scale
    said: TableMap
    codes: frozenset[float]
    by_label: Mapping[str, float]


def _score(value: str, column: str, values: Values, reading: _Reading, guesses: Guesses) -> float:
    times, word = values.counts[column][value], canonical(value)
    if not value:
        return math.nan
    if reading.said.missing is not None and word in reading.said.missing:
        guesses.missing[value] += times
        return math.nan
    if word in reading.said.scale:
        guesses.recoded += times
        return reading.said.scale[word]
    if value in reading.by_label:
        guesses.labels[values.value_labels[column][value]] += times
        return reading.by_label[value]
    labels = {
        plain(label): float(score) for label, score in zip(reading.scale.labels, reading.scale.scores, strict=True)
    }
    if plain(value) in labels:
        guesses.labels[value] += times
        return labels[plain(value)]
    number = number_of(value)
    if number is not None and not reading.said.scale and number in reading.scale.scores:
        guesses.decimal_commas += times if "," in value else 0
        return number
    if plain(value) in MISSING_WORDS or number in reading.codes:
        guesses.missing[value] += times
        return math.nan
    if (both := _number_with_label(value, labels, reading.scale, values, column)) is not None:
        guesses.labels[value] += times
        return both
    raise _refusal(value, column, values, reading)


def _codes(values: Values, scale: Scale, said: TableMap) -> frozenset[float]:
    """The numbers off the scale that stand for missing answers, as far as the answers leave no doubt."""
    if said.missing is not None:
        return frozenset()
    # What the user or the file says about a value is no guess.
    known = {float(word) for word in said.scale if number_of(word) is not None}
    counts: Counter[float] = Counter()
    for of_value in values.counts.values():
        for value, times in of_value.items():
            if (number := number_of(value)) is not None:
                counts[number] += times
    on_scale = known or set(map(float, scale.scores))
    off = {number: times for number, times in counts.items() if number not in on_scale}
    total, ends = sum(counts.values()), {min(on_scale), max(on_scale)} <= set(counts)
    if total == sum(off.values()):
        return frozenset()
    far = frozenset(n for n in off if n in _FAR_CODES and not min(on_scale) - 2 < n < max(on_scale) + 2)
    if sum(off[number] for number in far) > total * _MOST_FAR:
        return frozenset()
    near = set(off) - far
    if not ends or not near <= _NEAR_CODES or max(on_scale) + 1 in near:
        return far
    if any(off[number] > total * (_MOST_NEAR if number == 9 else _MOST_ZERO) for number in near):
        return far
    return far | near


def _by_labels(values: Values, scale: Scale) -> dict[str, dict[str, float]]:
    """Column -> value -> score, for values that the file's own labels make labels of the scale.

    They are taken where a column's numbers are no scores of the scale, or where the labels say another score.
    """
    labels = {plain(label): float(score) for label, score in zip(scale.labels, scale.scores, strict=True)}
    taken: dict[str, dict[str, float]] = {}
    for column, meant in values.value_labels.items():
        scores = {value: labels[plain(label)] for value, label in meant.items() if plain(label) in labels}
        if any(number_of(value) != score for value, score in scores.items()):
            taken[column] = scores
        missing = {value: math.nan for value, label in meant.items() if plain(label) in MISSING_WORDS - set(labels)}
        if missing and column in values.counts:
            taken.setdefault(column, {}).update(missing)
    return taken


def _number_with_label(
    value: str, labels: Mapping[str, float], scale: Scale, values: Values, column: str
) -> float | None:
    """The score of "5 - Strongly agree" or "Strongly agree (5)"; None for other text.

    Raises:
        InputError: the number is another than the label's score.
    """
    first, last = _NUMBER_AND_LABEL.fullmatch(value), _LABEL_AND_NUMBER.fullmatch(value)
    number, label = (first[1], first[2]) if first else (last[2], last[1]) if last else ("", "")
    score = labels.get(plain(label))
    if not number or score is None:
        return None
    if float(number) != score:
        raise InputError(
            f"{_place(value, column, values)}: {label!r} scores {score:g} in the inventory, the file says {number}",
            hint=f"say what its values score with --map FILE, scale: {{{value!r}: {score:g}}}",
        )
    return score


def _place(value: str, column: str, values: Values) -> str:
    return f"{values.where}: {values.what} {values.first[column][value]}, column {column!r}, item {values.item[column]}"


def _refusal(value: str, column: str, values: Values, reading: _Reading) -> InputError:
    scale, number = reading.scale, number_of(value)
    place = _place(value, column, values)
    expected = f"a whole number {scale.told} or one of the scale's labels is expected"
    shown = f"{number:g}" if number is not None else f"{value!r:.60}"
    if reading.said.scale:
        expected = f"a value of the map's scale ({listing(sorted(reading.said.scale), 11)}) is expected"
        return InputError(f"{place}: {expected}, found {shown}", hint=_NOT_SAID)
    if number is None:
        words = sorted({v for of in values.counts.values() for v in of if v and number_of(v) is None})
        hint = f"--map FILE says what they score: scale: {{{_shortest(words)}: {scale.low}, ..}}; {_NOT_SAID}"
        return InputError(f"{place}: {expected}, found {shown}", hint=hint)
    numbers = {n for of in values.counts.values() for v in of if (n := number_of(v)) is not None}
    plausible = sorted(n for n in numbers if abs(n) < 12)
    hint = f"a missing answer? --map FILE with missing: [{shown}]"
    if number.is_integer() and abs(number) < 12 and len(plausible) > 1:
        hint += (
            f"; another scale, {plausible[0]:g} to {plausible[-1]:g}? name an inventory that has it, or --map FILE "
            f"with scale: {{{plausible[0]:g}: {scale.low}, .., {plausible[-1]:g}: {scale.high}}}"
        )
    elif not number.is_integer():
        hint = "means and filled-in answers are no answers; round them, or leave the column out"
    return InputError(f"{place}: {expected}, found {shown}", hint=hint)


def _shortest(words: Sequence[str]) -> str:
    return min(words, key=len) if words else "value"
