"""A table as text for a terminal, as Markdown or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Literal

from pasctl.cli.columns import align
from pasctl.printable import clean

Cell = str | int | float
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def written_table(
    header: Sequence[str], rows: Sequence[Sequence[Cell]], *, form: Literal["table", "csv", "json", "markdown"]
) -> str:
    """A table as text.

    Args:
        header: names of the columns.
        rows: of cells.
        form: "csv" has numbers in full, and a text that a spreadsheet would take for a formula has a ' before it;
            "markdown" has cells with their bars escaped; all else is aligned columns.
    """
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([header, *([_for_csv(cell) for cell in row] for row in rows)])
        return text.getvalue().rstrip("\n")
    shown = [list(header), *([str(cell) for cell in row] for row in rows)]
    if form == "markdown":
        lines = [f"| {' | '.join(clean(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in shown]
        return "\n".join([lines[0], f"|{'---|' * len(header)}", *lines[1:]])
    return align(shown)


def _for_csv(cell: Cell) -> Cell:
    text = clean(cell) if isinstance(cell, str) else cell
    if isinstance(text, str) and text.startswith(_FORMULA) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
