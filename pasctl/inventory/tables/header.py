"""The rows above the answers: names of columns, and what survey services put below them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.tables.table import plain
from pasctl.inventory.tables.text_form import looks_like_answers

_MOST_ROWS = 4
_FEWEST_BELOW_A_TITLE = 3  # columns; a table of two may be without a title
_IMPORT_ID = re.compile(r'\{\s*"+ImportId"+\s*:')  # Qualtrics' third row


@dataclass(frozen=True)
class Header:
    """The rows above the answers.

    Attributes:
        names: Of the columns.
        rows: How many rows there are before the answers.
        questions: Name -> the wording in a later row.
        why: Whose form this is, for the note.
    """

    names: tuple[str, ...]
    rows: int = 1
    questions: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def title_rows(start: Sequence[list[str]]) -> int:
    """How many of the first rows stand above the names: a title, a comment, or the line `sep=;` of Excel."""
    filled = [sum(map(bool, cells)) for cells in start]
    if max(filled) < _FEWEST_BELOW_A_TITLE:
        return 0
    return next(row for row, cells in enumerate(filled) if cells > 1)


def header_of(start: Sequence[list[str]], given: int, path: Path, inventory: Inventory) -> Header:
    """The header among the first rows of a file.

    Args:
        start: The first rows.
        given: How many rows the user says it has; 0 finds out.
        path: The file, for messages.
        inventory: Its items' texts are looked for below the names.

    Raises:
        InputError: the first row has answers, not names.
    """
    names = start[0]
    if looks_like_answers(names) and not given:
        raise InputError(
            f"{path}: line 1: names of columns are expected, found {listing(names, 3)}",
            hint="add a line of names, or say with --map which characters are which column (fixed: {q1: 1})",
        )
    rows, why = given or 1, ""
    if not given:
        imported = [n for n, cells in enumerate(start[1:_MOST_ROWS], 1) if any(map(_IMPORT_ID.match, cells))]
        texts = {plain(item.text) for item in inventory.items}
        worded = [n for n, cells in enumerate(start[1:_MOST_ROWS], 1) if _is_worded(cells, texts)]
        if imported:
            rows, why = imported[0] + 1, ", as Qualtrics exports them"
        elif worded:
            rows, why = worded[-1] + 1, ", with the items' texts"
    width = len(names)
    longest = max(start[1:rows], key=lambda cells: sum(map(len, _without_ids(cells))), default=[])
    questions = {name: text for name, text in zip(names[:width], _without_ids(longest), strict=False) if text}
    return Header(tuple(names), rows, questions, why)


def _is_worded(cells: Sequence[str], texts: set[str]) -> bool:
    """Whether a row has the texts of items."""
    return sum(any(text in plain(cell) for text in texts) for cell in cells if len(cell) > 3) >= 2


def _without_ids(cells: Sequence[str]) -> list[str]:
    return ["" if _IMPORT_ID.match(cell) else cell for cell in cells]
