"""Contrasts from a file of pairs: `pairs:FILE` (.jsonl, .json, .csv or .tsv, UTF-8).

Rows, as JSON lines, as a JSON list, or with a header as CSV or TSV:

    positive, negative              two texts that stand alone, read at their last token (repeng, steering-vectors)
    prompt, positive, negative      two replies to a prompt, read as the mean over their tokens
    question, answer_matching_behavior, answer_not_matching_behavior    the same under CAA's names

- `system`: a system text that stands before the prompt of both.
- `axis` or `trait`: several axes in one file; the poles of axis X are X+ and X-, without the column + and -.
- `group`: pairs of one group never stand on both sides of a split; by default those with the same prompt.
- `read`: last or mean, instead of the default.
- Other columns are not looked at. In a list, two texts in brackets are a positive and a negative text.

And as one JSON object:

    {"instruction": [{"pos": TEXT, "neg": TEXT}], "questions": [TEXT]}      system texts x questions (persona_vectors)
    {"positive_samples": [TEXT], "negative_samples": [TEXT]}                texts that stand alone (EasySteer)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair, Read
from pasctl.contrasts.pair_file import FORMS, Row, json_lines, parse_json, read_text, row_of, shown, tabular, text_of
from pasctl.errors import InputError

_PLUS = ("positive", "pos", "answer_matching_behavior", "chosen")
_MINUS = ("negative", "neg", "answer_not_matching_behavior", "rejected")
_PROMPT = ("prompt", "question")
_AXIS = ("axis", "trait")
_SAMPLES = (("positive_samples", "negative_samples"), ("positive", "negative"))
_UNNAMED = ""  # the axis of pairs in a file that names none, until the file's name is put in
_READ: dict[str, Read] = {"last": "last", "mean": "mean"}
_AXIS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def read_pairs(path: Path) -> Contrast:
    """The contrast that a file holds; see the module's docstring for its forms.

    Raises:
        InputError: what is in the file is no pairs; the message names file and line.
        MissingError: there is no such file.
    """
    text, suffix = read_text(path), path.suffix.lower()
    name = _label(path)
    if suffix == ".json":
        pairs = _of_document(parse_json(text, str(path)), path)
    else:
        pairs = _of_rows(tabular(text, path) if suffix in (".csv", ".tsv") else json_lines(text, path))
    if not pairs:
        raise InputError(f"{path}: expected pairs, found none", hint=FORMS)
    if pairs[0].axis == _UNNAMED:
        return Contrast(name, (Axis(name, "+", "-"),), tuple(replace(pair, axis=name) for pair in pairs))
    axes = (Axis(axis, f"{axis}+", f"{axis}-") for axis in dict.fromkeys(pair.axis for pair in pairs))
    return Contrast(name, tuple(axes), tuple(pairs))


def _label(path: Path) -> str:
    """The file's stem in characters that are safe in a file name."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:40] or "pairs"


def _of_document(document: Any, path: Path) -> list[Pair]:
    """The pairs of a whole JSON document."""
    if isinstance(document, list):
        rows = (row_of(entry, f"{path}, entry {number}", number) for number, entry in enumerate(document, start=1))
        return _of_rows(rows)
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a list of rows or an object, found {shown(document)}", hint=FORMS)
    if "instruction" in document and "questions" in document:
        return list(_of_instructions(document["instruction"], document["questions"], path))
    for names in _SAMPLES:
        if all(isinstance(document.get(name), list) for name in names):
            return _of_rows(_samples(document[names[0]], document[names[1]], path))
    keys = ", ".join(map(str, document)) or "none"
    raise InputError(
        f"{path}: expected a list of rows, or an object with instruction and questions, or with positive_samples and "
        f"negative_samples, found the keys {keys:.100}",
        hint=FORMS,
    )


def _samples(plus: list[Any], minus: list[Any], path: Path) -> Iterator[Row]:
    """Texts in two lists, the first with the first."""
    if len(plus) != len(minus):
        raise InputError(f"{path}: expected as many negative as positive texts, found {len(plus)} and {len(minus)}")
    for number, sides in enumerate(zip(plus, minus, strict=True), start=1):
        yield row_of(list(sides), f"{path}, entry {number}", number)


def _of_instructions(instructions: Any, questions: Any, path: Path) -> Iterator[Pair]:
    """System texts x questions, read at the prompt's last token."""
    for name, value in (("instruction", instructions), ("questions", questions)):
        if not isinstance(value, list) or not value:
            raise InputError(f"{path}: expected a list that is not empty as {name}, found {shown(value)}")
    for number, entry in enumerate(instructions, start=1):
        where = f"{path}, instruction {number}"
        row = row_of(entry, where, number)
        plus, minus = _side(row, _PLUS), _side(row, _MINUS)
        for place, question in enumerate(questions, start=1):
            user = text_of(question, f"{path}, question {place}", "question")
            yield _pair(_UNNAMED, user, Example(plus, user), Example(minus, user), where)


def _of_rows(rows: Iterable[Row]) -> list[Pair]:
    """One pair per row; either every row names its axis or none does."""
    pairs: list[Pair] = []
    first_of_text: dict[str, int] = {}
    for row in rows:
        name = _first(row, _AXIS)
        axis = _UNNAMED if name is None else _axis_name(name, row.where)
        if pairs and (axis == _UNNAMED) != (pairs[0].axis == _UNNAMED):
            here, before = ("none", "one") if name is None else ("one", "none")
            raise InputError(
                f"{row.where}: expected an axis in every row or in none, found {here} here and {before} before"
            )
        pairs.append(_of_row(row, axis, first_of_text))
    return pairs


def _of_row(row: Row, axis: str, first_of_text: dict[str, int]) -> Pair:
    """The pair of a row. Texts that stand alone are in one group where the positive text is the same."""
    plus, minus = _side(row, _PLUS), _side(row, _MINUS)
    prompt, system = _first(row, _PROMPT), _first(row, ("system",))
    if prompt is None and system is not None:
        raise InputError(f"{row.where}: expected a prompt with the system text, found none", hint=FORMS)
    read = _read(row, "last" if prompt is None else "mean")
    if prompt is None:
        group = f"row {first_of_text.setdefault(plus, row.number)}"
    else:
        plus, minus, group = plus.strip(), minus.strip(), prompt
    given = row.values.get("group")  # a number in JSON names a group as well
    return _pair(
        axis,
        group if given is None else str(given) if isinstance(given, int) else text_of(given, row.where, "group"),
        Example(system, prompt, plus, read),
        Example(system, prompt, minus, read),
        row.where,
    )


def _pair(axis: str, group: str, plus: Example, minus: Example, where: str) -> Pair:
    if plus == minus:
        raise InputError(f"{where}: expected two sides that differ, found the same text twice")
    return Pair(axis, group, plus, minus)


def _side(row: Row, names: tuple[str, ...]) -> str:
    """The text of one side.

    Raises:
        InputError: the row has none.
    """
    text = _first(row, names)
    if text is None:
        columns = " ".join(", ".join(row.values).split()) or "an empty row"
        raise InputError(f"{row.where}: expected {names[0]}, found {columns:.100}", hint=FORMS)
    return text


def _first(row: Row, names: tuple[str, ...]) -> str | None:
    """What the first of these columns that the row has says, or None."""
    for name in names:
        if name in row.values:
            return text_of(row.values[name], row.where, name)
    return None


def _read(row: Row, default: Read) -> Read:
    given = _first(row, ("read",))
    if given is not None and given.strip() not in _READ:
        raise InputError(f"{row.where}: expected last or mean as read, found {given!r:.40}")
    return _READ[given.strip()] if given is not None else default


def _axis_name(name: str, where: str) -> str:
    if not _AXIS_NAME.fullmatch(name.strip()):
        raise InputError(
            f"{where}: expected an axis named by letters, digits, - and _, found {name!r:.60}",
            hint="such as E or honesty",
        )
    return name.strip()
