"""A file of rows and columns before anything in it is understood: all cells are text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

Cells = npt.NDArray[np.object_]

MOST_VALUES = 500
"""Different values of a column that are counted; a column of answers has less."""


@dataclass(frozen=True)
class Block:
    """Some rows that follow each other.

    Attributes:
        lines: The line or row number of each in the file, for messages [n].
        columns: The cells of each column, text without spaces at its ends; "" where there is none.
    """

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Attributes:
        path: The file.
        header: Names of the columns.
        blocks: Gives the rows from the first on, each time it is called.
        questions: The wording of a column's question, where the file has a row of them.
        value_labels: Column -> what the file says its values mean.
        facts: What was found out about the form of the file, such as ("separator", "semicolons").
        what: A row is called this in messages: "line" or "row".
    """

    path: Path
    header: tuple[str, ...]
    blocks: Callable[[], Iterator[Block]]
    questions: Mapping[str, str] = field(default_factory=dict)
    value_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    what: str = "line"


@dataclass
class ColumnValues:
    """What a column holds, counted.

    Attributes:
        counts: Value -> how often it occurs; at most `MOST_VALUES` of them.
        first: Value -> the line of its first occurrence.
        many: Whether there were more values than are counted.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    many: bool = False

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Count some more rows."""
        if self.many:
            return
        for value, times in Counter(cells).items():
            if value not in self.first:
                self.first[value] = lines[cells.index(value)]
            self.counts[value] += times
        self.many = len(self.counts) > MOST_VALUES

    @property
    def answered(self) -> dict[str, int]:
        """The values that are not empty, with their counts."""
        return {value: times for value, times in self.counts.items() if value}


def count_values(table: Table) -> list[ColumnValues]:
    """The values of each column, in one pass over the file."""
    columns = [ColumnValues() for _ in table.header]
    for block in table.blocks():
        for values, cells in zip(columns, block.columns, strict=True):
            values.add(cells, block.lines)
    return columns


def in_memory(rows: Sequence[Sequence[str]], lines: Sequence[int], width: int) -> Callable[[], Iterator[Block]]:
    """The blocks of rows that are in memory."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * width
    return lambda: iter([Block(lines, columns)])


_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def number_of(text: str) -> float | None:
    """The number that a cell is, also one with a decimal comma; None for other text."""
    if _NUMBER.fullmatch(text):
        return float(text)
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    return None


def plain(text: str) -> str:
    """Text as it is compared: lower case, single spaces, straight apostrophes."""
    return " ".join(text.replace("’", "'").split()).casefold()


def canonical(text: str) -> str:
    """A cell as it is compared with a value that somebody wrote: 1, "1.0" and "1,0" are the same."""
    number = number_of(text.strip())
    return plain(text) if number is None else f"{number:g}"
