"""Answers in a table of text, `.csv` with commas or `.tsv` with tabs, one row per answer or one row per respondent.

One row per answer has the columns `item` (or `item id`, or `id`), `agreement`, and `persona` (or `case`, or `id`
where `item` says what is answered) if there are several respondents:

    persona,item,agreement
    ada,E01,5

One row per respondent has a column `id` (or `case`, or `persona`), and a column for each item id:

    id,E01,N01
    ada,5,2

An empty field, NA, N/A, NaN and null are missing answers. A column of something else is not read, and noted; in a table
with one row per respondent it is refused, since an item's id may be misspelled.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pasctl.errors import InputError
from pasctl.inventory.items import listing
from pasctl.inventory.notes import Note

Row = tuple[str, str, Any]
"""Persona, item id, and the agreement as the file has it; None where it is missing."""

FORM = "a table has the columns item and agreement (and persona), or a column id and one for each item id"
_ITEM_COLUMNS = ("item", "item id", "id")
_NAME_COLUMNS = ("persona", "case", "id")
_MISSING = frozenset(("", "na", "n/a", "nan", "null"))
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas"}


def table_rows(text: str, path: Path, items: Mapping[str, int], note: Note) -> list[Row]:
    """The answers in a table.

    Args:
        text: of the file.
        path: its name, which also says what separates the fields, and names a single respondent.
        items: ids of the inventory's items.
        note: is told which columns are not read.

    Raises:
        InputError: no such columns, a line of another length, a respondent without a name.
    """
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = [name.strip() for name in next(reader, [])]
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise InputError(f"{path}: not readable as a table: {error}", hint=FORM) from error
    plain = [name.lower().replace("_", " ") for name in header]
    twice = [name for name, times in Counter(plain if "agreement" in plain else header).items() if times > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} occurs twice", hint=FORM)
    for number, cells in lines:
        if len(cells) != len(header):
            raise InputError(f"{path}: line {number} has {len(cells)} fields, the header has {len(header)}")
    if "agreement" in plain:
        return list(_answer_rows(lines, plain, path, note))
    if any(name in items for name in header) and any(name in _NAME_COLUMNS for name in plain):
        return list(_respondent_rows(lines, header, path, items))
    found = listing([name for name in header if name]) or "none"
    raise InputError(
        f"{path}: columns item and agreement, or id and item ids, are expected, found {found}", hint=_way_out(header)
    )


def _answer_rows(lines: list[tuple[int, list[str]]], header: list[str], path: Path, note: Note) -> Iterator[Row]:
    item = next((header.index(name) for name in _ITEM_COLUMNS if name in header), None)
    if item is None:
        raise InputError(f"{path}: columns item and agreement are expected, found {listing(header)}", hint=FORM)
    agreement = header.index("agreement")
    names = [place for place, name in enumerate(header) if name in _NAME_COLUMNS and place != item]
    if len(names) > 1:
        both = " and ".join(header[place] for place in names)
        raise InputError(f"{path}: one column persona, case or id is expected, found {both}", hint=FORM)
    unread = [name for place, name in enumerate(header) if place not in (item, agreement, *names)]
    if unread:
        one = "" if names else "; no column persona, case or id, so all answers are those of one persona"
        note(f"reading {path}: columns that are not read: {listing(unread)}{one}")
    for number, cells in lines:
        name = _name(cells[names[0]], header[names[0]], number, path) if names else path.stem
        yield name, cells[item], _value(cells[agreement])


def _respondent_rows(
    lines: list[tuple[int, list[str]]], header: list[str], path: Path, items: Mapping[str, int]
) -> Iterator[Row]:
    names = [place for place, name in enumerate(header) if name.lower() in _NAME_COLUMNS and name not in items]
    if len(names) != 1:
        found = " and ".join(header[place] for place in names) or f"none among {listing(header)}"
        raise InputError(f"{path}: one column id, case or persona is expected, found {found}", hint=FORM)
    others = [
        name or "one without a name" for place, name in enumerate(header) if place not in names and name not in items
    ]
    if others:
        raise InputError(
            f"{path}: columns that are no items of the inventory: {listing(others)}",
            hint="leave them out; a column's name is the item's id",
        )
    seen: set[str] = set()
    for number, cells in lines:
        name = _name(cells[names[0]], header[names[0]], number, path)
        if name in seen:
            raise InputError(f"{path}: line {number}: respondent {name} occurs twice")
        seen.add(name)
        for place, cell in enumerate(cells):
            if place != names[0]:
                yield name, header[place], _value(cell)


def _name(cell: str, column: str, number: int, path: Path) -> str:
    if not cell:
        raise InputError(f"{path}: line {number}: a name is expected in column {column}, found none")
    return cell


def _value(cell: str) -> Any:
    """A number where the cell is one, None where it is missing, else the cell: who checks it names what is there."""
    if cell.lower() in _MISSING:
        return None
    try:
        return float(cell)
    except ValueError:
        return cell


def _way_out(header: list[str]) -> str:
    """What to do about a table with other columns."""
    if len(header) == 1:
        other = next((word for sign, word in _OTHER_SEPARATORS.items() if sign in header[0]), None)
        if other:
            return f"fields that {other} separate are expected in another file: commas in .csv, tabs in .tsv"
    return f"{FORM}; rename the columns to the item ids of the inventory"
