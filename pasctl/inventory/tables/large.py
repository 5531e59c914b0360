"""A large table with a row per respondent, read in blocks into a Parquet file that `PersonaFile` reads from.

Two passes: the first counts the values of each column, from which the scores follow; the second writes the scores. At
no time more than a block of rows is in memory, and what is selected by.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import IntArray, Inventory, listing
from pasctl.inventory.naming import label_of
from pasctl.inventory.persona_table import persona_table
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.tables.binary_table import ARROW
from pasctl.inventory.tables.layout import layout_of
from pasctl.inventory.tables.read import reading_of
from pasctl.inventory.tables.reading import TableReading
from pasctl.inventory.tables.source import TEXT, open_table
from pasctl.inventory.tables.table import Table, count_values
from pasctl.inventory.tables.table_map import TableMap
from pasctl.inventory.tables.values import Guesses
from pasctl.inventory.tables.where import Condition, rows_where
from pasctl.inventory.tables.wide import Respondents, wide_respondents, wide_scores

LARGE = {**dict.fromkeys(TEXT, 32 << 20), **dict.fromkeys(ARROW, 4 << 20)}
"""Ending -> bytes; of a larger file no more than a block is in memory."""


@dataclass(frozen=True)
class LargeTable:
    """Respondents of a large table.

    Attributes:
        path: A Parquet file of all of them, which is removed when the process ends.
        rows: Of those who are selected.
        reading: What was understood.
    """

    path: Path
    rows: IntArray
    reading: TableReading


def read_large(path: Path, inventory: Inventory, said: TableMap, where: Sequence[Condition]) -> LargeTable | None:
    """The respondents of a large table; None where it has a row per answer.

    Raises:
        InputError: what cannot be understood, in one line that names the column and what to say about it.
        MissingError: there is no such file.
    """
    table = open_table(path, said, inventory)
    columns = count_values(table)
    layout = layout_of(table, columns, said, inventory)
    if layout.long:
        return None
    guesses = Guesses()
    scores = wide_scores(table, columns, layout, said, inventory, guesses)
    reading = reading_of(table, columns, layout, layout.items, guesses, said, inventory)
    written = _folder() / f"{label_of(path)}.parquet"
    count, unanswered, rows = _write(
        written, wide_respondents(table, layout, scores, inventory), table, inventory, where
    )
    if not count:
        raise InputError(f"{path}: no answers found", hint="a table has a row of column names, and rows of answers")
    return LargeTable(written, rows, reading(count, unanswered))


def _write(
    path: Path, parts: Iterator[Respondents], table: Table, inventory: Inventory, where: Sequence[Condition]
) -> tuple[int, int, IntArray]:
    """Write all respondents; how many there are, how many of them have no answer, and the rows of those selected."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    items = list(inventory.position)
    count, unanswered, chosen = 0, 0, [np.arange(0)]
    schema = pa.schema([("id", pa.string()), *((item, pa.int8()) for item in items)])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            if len(set(part.ids)) < len(part.ids):
                twice = sorted(name for name, times in Counter(part.ids).items() if times > 1)
                raise InputError(f"{table.path}: persona names must be unique, found more than once: {listing(twice)}")
            block = PersonaSet(label_of(path), part.ids, part.answers)
            writer.write_table(persona_table(block, items).cast(schema))
            answered = np.isfinite(part.answers).sum(axis=1)
            mask = rows_where(where, part.attributes, answered.tolist(), str(table.path))
            chosen.append(count + np.flatnonzero(mask))
            count += len(part.ids)
            unanswered += int(np.count_nonzero(answered == 0))
    return count, unanswered, np.concatenate(chosen)


@cache
def _folder() -> Path:
    """A folder of this process for what it converts."""
    folder = Path(tempfile.mkdtemp(prefix="pasctl-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
