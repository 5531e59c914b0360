"""A map: what a user says about a table of answers, in YAML or JSON (`--map FILE`).

    id: ResponseId              # the column of the respondents' names; null counts the rows
    layout: wide                # or long
    items: {E01: q1, E02: q2}   # item -> column; or a list of columns in the inventory's order;
                                # or a pattern: "bfi_{id}", or "q{n}" with n from 1
    item: question              # long: the columns of items and of answers
    answer: response
    scale: {1: 1, 2: 2, 3: 4, 4: 5}   # value in the file -> score of the inventory
    missing: [0, -99]           # values that are no answers
    reversed: [q2]              # columns, or items, that hold reversed answers
    keyed: true                 # all items keyed -1 are stored reversed

and about the file: `separator`, `encoding`, `header_rows`, `sheet`, and `fixed` for lines without separators.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.inventory.files.documents import yaml_document
from pasctl.inventory.files.node import Node
from pasctl.inventory.items import Inventory
from pasctl.inventory.tables.table import canonical
from pasctl.json_file import parse_json
from pasctl.text_file import refuse_device

_MOST_BYTES = 1 << 22
_MOST_COLUMNS = 100_000
_NUMBER = re.compile(r"[0-9]{1,9}")
_FORM = "a map is YAML or JSON such as: {id: ResponseId, items: {E01: q1}, missing: [-99], scale: {1: 1, 4: 5}}"


@dataclass(frozen=True)
class TableMap:
    """What a user says about a table; see the module. What is left out is found in the table.

    Attributes:
        id: Column of the respondents' names; "" counts the rows; None finds it.
        layout: "wide", "long", or "" to find out.
        items: Item id -> column, or in a long table what the column of items calls it.
        pattern: A column's name with {id} or {n} in it.
        item: Long: the column of items.
        answer: Long: the column of answers.
        scale: Value -> score, the values as `canonical` writes them.
        missing: Values that are no answers, as `canonical` writes them; None finds the usual codes.
        reversed: Columns or items that hold reversed answers.
        keyed: Whether the answers are keyed scores.
        separator: Between the fields of a text file.
        encoding: Of a text file.
        header_rows: How many rows stand before the answers.
        sheet: Name or number (from 1) of the sheet of a workbook.
        fixed: Column -> (first, last) character in each line, counting from 1, both included.
    """

    id: str | None = None
    layout: str = ""
    items: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""
    item: str = ""
    answer: str = ""
    scale: Mapping[str, float] = field(default_factory=dict)
    missing: frozenset[str] | None = None
    reversed: tuple[str, ...] = ()
    keyed: bool = False
    separator: str = ""
    encoding: str = ""
    header_rows: int = 0
    sheet: str = ""
    fixed: Mapping[str, tuple[int, int]] = field(default_factory=dict)


NO_MAP = TableMap()
_KEYS = [each.name for each in fields(TableMap) if each.name != "pattern"]
_TEXTS = ("item", "answer", "separator", "encoding")


def read_map(path: Path | str, inventory: Inventory) -> TableMap:
    """The map that a file holds.

    Raises:
        InputError: it is neither YAML nor JSON, has a key that no map has, or a value of another kind.
        MissingError: there is no such file.
    """
    path = Path(path)
    try:
        refuse_device(path, "map")
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"map {path}: expected at most {_MOST_BYTES >> 20} MiB", hint=_FORM)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingError(f"map {path} does not exist", hint=_FORM) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"map {path}: not readable as UTF-8 text: {error}", hint=_FORM) from error
    return map_of(_document(text, path), inventory, f"map {path}")


def map_of(document: Any, inventory: Inventory, where: str = "map") -> TableMap:
    """The map that a mapping of Python values says; arguments and errors are those of `read_map`."""
    if not isinstance(document, dict):
        raise InputError(f"{where}: a mapping is expected, found {type(document).__name__}", hint=_FORM)
    unknown = next((key for key in document if key not in _KEYS), None)
    if unknown is not None:
        near = difflib.get_close_matches(str(unknown), _KEYS, n=1)
        raise InputError(
            f"{where}: key {unknown!r} is unknown", hint=f"did you mean {near[0]}?" if near else f"keys: {_KEYS}"
        )
    said: dict[str, Any] = {}
    for key, value in document.items():
        if key == "id":
            said[key] = "" if value is None else _text(value, f"{where}, id")
        elif key == "items":
            said |= _items(value, inventory, f"{where}, items")
        elif key == "layout":
            said[key] = _one_of(value, ("wide", "long"), f"{where}, layout")
        elif key == "scale":
            said[key] = _scale(value, f"{where}, scale")
        elif key == "missing":
            said[key] = frozenset(canonical(_text(each, f"{where}, missing")) for each in _list(value))
        elif key == "reversed":
            said[key] = tuple(_text(each, f"{where}, reversed") for each in _list(value))
        elif key == "keyed":
            said[key] = _one_of(value, (True, False), f"{where}, keyed")
        elif key == "header_rows":
            said[key] = _one_of(value, tuple(range(1, 11)), f"{where}, header_rows")
        elif key == "fixed":
            said[key] = _fixed(value, f"{where}, fixed")
        else:
            said[key] = _text(value, f"{where}, {key}")
    return TableMap(**said)


def _document(text: str, path: Path) -> Any:
    if path.suffix.lower() == ".json":
        try:
            return parse_json(text, unique=True)
        except ValueError as error:
            raise InputError(f"map {path}: not readable as JSON: {error}", hint=_FORM) from error
    return _plain(yaml_document(text, f"map {path}"))


def _plain(document: Node) -> Any:
    """A document as Python values. Words for nothing, true, false and whole numbers count at the top level only."""
    fields = document.value
    if not isinstance(fields, dict):
        return _inner(document)
    top = {key: None if each.value is None else _inner(each) for key, each in fields.items()}
    top |= {key: value == "true" for key, value in top.items() if value in ("true", "false")}
    if _NUMBER.fullmatch(rows := str(top.get("header_rows", ""))):
        top["header_rows"] = int(rows)
    return top


def _inner(node: Node) -> Any:
    """Below the top level `null` is a word that a cell of the table may hold."""
    if isinstance(node.value, dict):
        return {key: _inner(each) for key, each in node.value.items()}
    if isinstance(node.value, list):
        return [_inner(each) for each in node.value]
    return "null" if node.value is None else node.value


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{where}: text or a number is expected, found {value!r:.60}", hint=_FORM)
    return str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _one_of(value: Any, values: tuple[Any, ...], where: str) -> Any:
    if not any(value is each or (type(value) is type(each) and value == each) for each in values):
        raise InputError(f"{where}: one of {', '.join(map(str, values))} is expected, found {value!r:.60}")
    return value


def _items(value: Any, inventory: Inventory, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        if "{id}" not in value and "{n}" not in value:
            raise InputError(f"{where}: a pattern with {{id}} or {{n}} is expected, found {value!r:.60}", hint=_FORM)
        return {"pattern": value}
    if isinstance(value, list):
        if len(value) != len(inventory):
            raise InputError(f"{where}: {len(inventory)} columns are expected, one an item, found {len(value)}")
        value = dict(zip(inventory.position, value, strict=True))
    if not isinstance(value, dict):
        raise InputError(f"{where}: a mapping, a list or a pattern is expected, found {value!r:.60}", hint=_FORM)
    unknown = next((item for item in value if item not in inventory.position), None)
    if unknown is not None:
        raise InputError(
            f"{where}: inventory {inventory.name} has no item {unknown!r}",
            hint=f"an item's id stands before its column: {inventory.items[0].id}: {value[unknown]}",
        )
    return {"items": {item: _text(column, where) for item, column in value.items()}}


def _scale(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: value: score is expected, such as {{1: 1, 2: 2, 3: 4, 4: 5}}, found {value!r:.60}")
    scale = {}
    for said, score in value.items():
        try:
            scale[canonical(_text(said, where))] = float(score)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{where}: a score is expected for {said!r:.60}, found {score!r:.60}") from error
    return scale


def _fixed(value: Any, where: str) -> dict[str, tuple[int, int]]:
    """{column: 3} or {column: "1-6"}; "q{n}": "34-153" stands for 120 columns q1, q2, .. of a character each."""
    columns: dict[str, tuple[int, int]] = {}
    for name, place in value.items() if isinstance(value, dict) else ():
        first, _, last = str(place).partition("-")
        if not _NUMBER.fullmatch(first.strip()) or not _NUMBER.fullmatch(last.strip() or first.strip()):
            raise InputError(f"{where}: {name}: characters such as 7 or 1-6 are expected, found {place!r:.60}")
        start, end = int(first), int(last.strip() or first)
        if end - start + len(columns) > _MOST_COLUMNS:
            raise InputError(f"{where}: {name}: at most {_MOST_COLUMNS:,} columns are expected, found {place!r:.60}")
        if "{n}" in str(name):
            columns |= {str(name).replace("{n}", str(n + 1)): (start + n, start + n) for n in range(end - start + 1)}
        else:
            columns[str(name)] = start, end
    if not columns or any(first < 1 or last < first for first, last in columns.values()):
        raise InputError(f"{where}: column: characters is expected, such as {{id: 1-6, q1: 7}}, found {value!r:.60}")
    return columns
