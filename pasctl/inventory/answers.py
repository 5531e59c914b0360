"""A user's own answers to items, from a JSON file or a table.

JSON is one of

    {"E01": 5, "E02": 2}                              one persona, named by the file
    {"ada": {"E01": 5}, "bob": {"E01": 1}}            several personas
    [{"id": "ada", "answers": {"E01": 5}}]            the same as a list

and `pasctl.inventory.answer_table` has the forms of `.csv` and `.tsv`. Null is a missing answer, and so is an item that
is not mentioned. The values are agreements, or keyed scores that `pasctl.inventory.proof` makes agreements of.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pasctl.errors import InputError, MissingError
from pasctl.inventory.answer_table import Row, table_rows
from pasctl.inventory.items import Inventory
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.scale import Scale
from pasctl.json_file import parse_json
from pasctl.text_file import refuse_device

_FORMS = (
    "answers are {item: score}, {persona: {item: score}}, a list of {id, answers}, or CSV with columns item, agreement"
)
_MISSING = "a missing answer is null in JSON, and an empty field or NA in a table"
_SCALE = "answers on another scale, or numbered otherwise, have to be brought to the inventory's first"
_MANY = "name the respondents in a column persona"


def read_answers(path: Path | str, inventory: Inventory, note: Note = silent) -> PersonaSet:
    """Personas from a `.json`, `.csv` or `.tsv` file, with their answers to the items of `inventory` as stored.

    Args:
        path: The file.
        inventory: What was answered.
        note: Is told what of the file is not read.

    Raises:
        InputError: unknown or repeated items or personas, or a value that is no score of the item.
        MissingError: there is no such file.
    """
    path = Path(path)
    try:
        refuse_device(path, "answers file")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingError(f"answers file {path} does not exist", hint=_FORMS) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text: {error}", hint=_FORMS) from error
    table = path.suffix.lower() in (".csv", ".tsv")
    rows = table_rows(text, path, inventory.position, note) if table else _json_rows(text, path)
    return _persona_set(rows, path, inventory)


def label_of(path: Path) -> str:
    """A file's stem as an artifact label: lower case, other characters than letters, digits and ._+- become -."""
    return re.sub(r"[^a-z0-9._+-]+", "-", path.stem.lower()).strip("-._+") or "answers"


def unknown_item(where: str, item: str, inventory: Inventory) -> InputError:
    """The error for an item that the inventory does not have; it names the nearest."""
    spelled = {name.lower(): name for name in inventory.position}
    near = difflib.get_close_matches(item.lower(), spelled, n=1)
    hint = f"did you mean {spelled[near[0]]}?" if near else f"ids are like {inventory.items[0].id}"
    return InputError(f"{where}: inventory {inventory.name} has no item {item!r}", hint=hint)


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
