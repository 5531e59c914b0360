"""A user's own answers to items, from a JSON file or a table.

JSON is one of

    {"E01": 5, "E02": 2}                              one persona, named by the file
    {"ada": {"E01": 5}, "bob": {"E01": 1}}            several personas
    [{"id": "ada", "answers": {"E01": 5}}]            the same as a list

and a table has a row per respondent or per answer, see `pasctl.inventory.tables`:

    id,E01,N01          persona,item,agreement
    ada,5,2             ada,E01,5

Null is a missing answer, and so is an item that is not mentioned. The values are agreements, or keyed scores that
`pasctl.inventory.proof` makes agreements of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pasctl.errors import InputError, MissingError
from pasctl.inventory.items import Inventory
from pasctl.inventory.naming import label_of, unknown_item
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.scale import Scale
from pasctl.inventory.tables.read import TableAnswers, read_table, understood
from pasctl.inventory.tables.reading import TableReading
from pasctl.inventory.tables.table import Table, in_memory
from pasctl.inventory.tables.table_map import NO_MAP, TableMap
from pasctl.json_file import parse_json
from pasctl.text_file import refuse_device

_FORMS = (
    "answers are {item: score}, {persona: {item: score}}, a list of {id, answers}, or CSV with columns item, agreement"
)
_MISSING = "a missing answer is null in JSON, and an empty field or NA in a table"
_SCALE = (
    "--map FILE says what other values score (scale: {value: score}) or that they are no answers (missing: [value])"
)
_MANY = "name the respondents in a column persona"


Row = tuple[str, str, Any]
"""Persona, item id, and the answer as the file has it; None where it is missing."""


def read_answers(path: Path | str, inventory: Inventory, note: Note = silent, said: TableMap = NO_MAP) -> PersonaSet:
    """Personas from a file, with their answers to the items of `inventory` as stored.

    Args:
        path: The file: `.json`, or a table in one of the formats of `pasctl.inventory.tables.source`.
        inventory: What was answered.
        note: Is told what was guessed, and what of the file is not read.
        said: What the user says about the file.

    Raises:
        InputError: unknown or repeated items or personas, or a value that is no score of the item.
        MissingError: there is no such file.
    """
    return answers_of(Path(path), inventory, note, said).personas


def answers_of(path: Path, inventory: Inventory, note: Note = silent, said: TableMap = NO_MAP) -> TableAnswers:
    """The same with what else is known of the respondents, and with what was understood of the file."""
    if path.suffix.lower() != ".json":
        return read_table(path, inventory, said, note)
    rows = _json_rows(_text(path), path)
    if said == NO_MAP:
        personas = _persona_set(rows, path, inventory)
        return TableAnswers(personas, {}, _json_reading(personas, path))
    answers = understood(_long_table(rows, path), inventory, replace(said, layout="long", id="persona"))
    for line in answers.reading.lines():
        note(line)
    return answers


def _text(path: Path) -> str:
    try:
        refuse_device(path, "answers file")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingError(f"answers file {path} does not exist", hint=_FORMS) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text: {error}", hint=_FORMS) from error


def _long_table(rows: Iterable[Row], path: Path) -> Table:
    """Answers of a JSON file as a table with a row for each, for what a map says of values and items."""
    cells = [(name, item, "" if value is None else f"{value}".strip()) for name, item, value in rows]
    header = ("persona", "item", "agreement")
    return Table(path, header, in_memory(cells, range(1, len(cells) + 1), len(header)), what="answer")


def _json_reading(personas: PersonaSet, path: Path) -> TableReading:
    missing = np.isnan(personas.agreements)
    return TableReading(
        path=str(path),
        form={"form": "JSON"},
        layout="long",
        id_column="id",
        items=int(np.count_nonzero(~missing.all(axis=0))),
        items_by="name",
        columns=(),
        missing_codes={},
        labels={},
        respondents=len(personas),
        unanswered=int(np.count_nonzero(missing.all(axis=1))),
    )


def _persona_set(rows: Iterable[Row], path: Path, inventory: Inventory) -> PersonaSet:
    columns = inventory.position
    answers: dict[str, dict[int, float]] = {}
    for persona, item, value in rows:
        if not persona:
            raise InputError(f"{path}: every persona needs a name, found an empty one")
        if item not in columns:
            raise unknown_item(f"{path}: {persona}", item, inventory)
        given = answers.setdefault(persona, {})
        if columns[item] in given:
            raise InputError(f"{path}: {persona} answers item {item} twice", hint=_MANY)
        given[columns[item]] = _agreement(value, f"{path}: {persona}, item {item}", inventory.scales[columns[item]])
    if not answers:
        raise InputError(f"{path}: no answers found", hint=_FORMS)
    values = np.full((len(answers), len(inventory)), np.nan)
    for row, given in enumerate(answers.values()):
        values[row, list(given)] = list(given.values())
    return PersonaSet(label=label_of(path), ids=tuple(answers), agreements=values)


def _agreement(value: Any, where: str, scale: Scale) -> float:
    if value is None or value == "":
        return np.nan
    # bool is an int to Python, but true is no agreement
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in scale.scores:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        raise InputError(
            f"{where}: a whole number {scale.told} is expected, found {value!r:.60}",
            hint=f"{_MISSING}; {_SCALE}" if number else _MISSING,
        )
    return float(value)


def _json_rows(text: str, path: Path) -> list[Row]:
    try:
        document = parse_json(text, unique=True, constants=True)
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON: {error}", hint=_FORMS) from error
    if isinstance(document, list):
        return _listed_rows(document, path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: an object or a list is expected, found {type(document).__name__}", hint=_FORMS)
    nested = [isinstance(value, dict) for value in document.values()]
    if any(nested) and not all(nested):
        raise InputError(f"{path}: personas and answers are mixed on one level", hint=_FORMS)
    personas = document if any(nested) else {path.stem: document}
    return [(name, item, value) for name, given in personas.items() for item, value in given.items()]


def _listed_rows(document: list[Any], path: Path) -> list[Row]:
    rows: list[Row] = []
    seen: set[str] = set()
    for entry in document:
        if not isinstance(entry, dict) or not isinstance(entry.get("answers"), dict) or "id" not in entry:
            raise InputError(f"{path}: a list holds objects with id and answers, found {entry!r:.60}", hint=_FORMS)
        if isinstance(entry["id"], bool) or not isinstance(entry["id"], str | int):
            raise InputError(f"{path}: an id is text or a whole number, found {entry['id']!r:.60}", hint=_FORMS)
        name = str(entry["id"])
        if name in seen:
            raise InputError(f"{path}: persona {name} occurs twice")
        seen.add(name)
        rows.extend((name, item, value) for item, value in entry["answers"].items())
    return rows
