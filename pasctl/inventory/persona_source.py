"""A Parquet file of respondents: its columns, batches of its rows, and what is wrong with them.

The form of the file is told in `pasctl.inventory.persona_file`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.inventory.coding import unkeyed
from pasctl.inventory.items import IntArray, Inventory, listing
from pasctl.inventory.naming import label_of, unknown_item
from pasctl.inventory.personas import PersonaSet, Span

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ID_COLUMNS = ("id", "case", "persona")
FORM = "one row a respondent: a column id (or case, persona), and a column for each item id with its scores or null"
_BATCH = 1024  # rows
_MOST_ROWS, _MOST_ROWS_PER_BYTE = 1_000_000, 100  # numbers that count up take next to no room
_BUFFER = 1 << 16  # bytes of a column that are read at once: a row group may be the whole file


@dataclass(frozen=True, eq=False)
class PersonaSource:
    """A Parquet file whose columns fit an inventory.

    Attributes:
        path: the file.
        inventory: what was asked.
        name_column: the column of the respondents' names.
        columns: item id -> its place in the inventory.
        count: rows.
        stamp: what the system said of the file when its columns were looked at.
        keyed: whether its answers are keyed scores, which become agreements as they are read.
    """

    path: Path
    inventory: Inventory
    name_column: str
    columns: dict[str, int]
    count: int
    stamp: tuple[int, int, int]
    keyed: bool = False

    @classmethod
    def open(cls, path: Path, inventory: Inventory) -> PersonaSource:
        """Look at a file's schema."""
        try:
            stamp = _stamp(path)
        except FileNotFoundError as error:
            raise MissingError(f"answers file {path} does not exist", hint=FORM) from error
        except OSError as error:
            raise _unreadable(path, error) from error
        with _readable(path), _parquet(path) as file:
            names = [each.name for each in file.schema_arrow]
            kinds = {each.name: each.type for each in file.schema_arrow}
            count = rows_of(file, path.stat().st_size)
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice:
            raise InputError(f"{path}: column {twice[0]} occurs twice", hint=FORM)
        said = [name for name in ID_COLUMNS if name in kinds and name not in inventory.position]
        if len(said) != 1:
            found = " and ".join(said) or f"none among {listing(names)}"
            raise InputError(f"{path}: one column id, case or persona is expected, found {found}", hint=FORM)
        _require_names(path, said[0], kinds.pop(said[0]))
        columns = {}
        for name, kind in kinds.items():
            _require_item(path, name, kind, inventory)
            columns[name] = inventory.position[name]
        return cls(path, inventory, said[0], columns, count, stamp)

    def ids(self) -> Iterator[str]:
        """The names of all rows; no other column is read."""
        for rows, batch in self._batches([(0, self.count)], [self.name_column]):
            yield from self._names(rows, batch.column(0))

    def blocks(self, runs: Sequence[Span]) -> Iterator[PersonaSet]:
        """The respondents of runs of rows, at most a batch at a time, each value checked."""
        for rows, batch in self._batches(runs, [self.name_column, *self.columns]):
            ids = self._names(rows, batch.column(self.name_column))
            values = np.full((len(ids), len(self.inventory)), np.nan)
            for name, place in self.columns.items():
                values[:, place] = batch.column(name).to_numpy(zero_copy_only=False)
            wrong = ~(np.isnan(values) | self._offered(values))
            if wrong.any():
                row, place = (int(each) for each in np.argwhere(wrong)[0])
                raise InputError(
                    f"{self.path}: row {rows[row]}, {ids[row]}, item {self.inventory.items[place].id}: "
                    f"a whole number {self.inventory.scales[place].told} is expected, found {values[row, place]:g}",
                    hint=FORM,
                )
            agreements = unkeyed(values, self.inventory) if self.keyed else values
            yield PersonaSet(label_of(self.path), tuple(ids), agreements)

    def _offered(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values [n, I] are scores of their items."""
        scales = self.inventory.scales
        if self.inventory.uniform:
            return np.isin(values, scales[0].scores)
        return np.stack([np.isin(column, scale.scores) for column, scale in zip(values.T, scales, strict=True)], axis=1)

    def gather(self, rows: IntArray) -> PersonaSet:
        """The respondents of these rows, in this order, in memory."""
        order = np.argsort(rows, kind="stable")
        found = together(list(self.blocks(runs_of(rows[order]))))
        return found.subset(np.argsort(order, kind="stable"))

    def _batches(self, runs: Sequence[Span], columns: list[str]) -> Iterator[tuple[IntArray, pa.RecordBatch]]:
        """(rows, their batch) of runs of rows."""
        if _stamp(self.path) != self.stamp:
            raise InputError(f"{self.path} has changed since it was checked", hint="run the same command again")
        with _readable(self.path), _parquet(self.path) as file:
            sizes = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
            ends = np.cumsum(sizes)
            for sweep in sweeps_of(runs):
                starts, stops = np.array(sweep).T
                first, last = np.searchsorted(ends, starts[0], "right"), np.searchsorted(ends, stops[-1], "left")
                groups, row = list(range(int(first), int(last) + 1)), int(ends[first]) - sizes[first]
                for batch in file.iter_batches(_BATCH, use_threads=False, row_groups=groups, columns=columns):
                    batch.validate(full=True)  # a damaged page may decode to texts that are none
                    end = row + batch.num_rows
                    near = slice(np.searchsorted(stops, row, "right"), np.searchsorted(starts, end, "left"))
                    pieces = zip(np.maximum(starts[near], row), np.minimum(stops[near], end), strict=True)
                    rows = np.concatenate([np.arange(0), *(np.arange(*piece) for piece in pieces)])
                    if len(rows):
                        yield rows, batch if len(rows) == batch.num_rows else batch.take(rows - row)
                    row = end
                if row < stops[-1]:
                    raise ValueError(f"it ends after row {row}, expected {int(stops[-1])} rows")

    def _names(self, rows: IntArray, column: pa.Array) -> list[str]:
        import pyarrow as pa

        with _readable(self.path):  # a damaged page may decode to texts that are none
            names: list[str | None] = column.cast(pa.string()).to_pylist()
        for row, name in zip(rows, names, strict=True):
            if not name:
                raise InputError(f"{self.path}: row {row}: a name is expected in column {self.name_column}, found none")
        return [str(name) for name in names]


def is_plain(path: Path, inventory: Inventory) -> bool:
    """Whether a file looks as documented: one column of names, the others items by their ids, none of them text.

    One that is not readable does too: `PersonaSource.open` then says why.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.types as of

    try:
        kinds = {each.name: each.type for each in pq.read_schema(path)}
    except (pa.ArrowException, OSError, ValueError):
        return True
    names = [name for name in kinds if name in ID_COLUMNS and name not in inventory.position]
    others = [kind for name, kind in kinds.items() if name not in names]
    texts = any(of.is_string(kind) or of.is_large_string(kind) or of.is_dictionary(kind) for kind in others)
    return bool(names) and not texts and all(name in inventory.position for name in kinds if name not in names)


def _parquet(path: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, buffer_size=_BUFFER)


def rows_of(file: pq.ParquetFile, size: int) -> int:
    """How many rows a file of so many bytes has.

    Raises:
        ValueError: its parts do not agree on it, or so many different names cannot be in so few bytes.
    """
    sizes = [int(file.metadata.row_group(place).num_rows) for place in range(file.num_row_groups)]
    count = int(file.metadata.num_rows)
    if min(sizes, default=0) < 0 or sum(sizes) != count or count > most_rows(size):
        raise ValueError(f"it says {count} rows in a file of {size} bytes, and its parts have {sum(sizes)}")
    return count


def most_rows(size: int) -> int:
    """More rows than a file of so many bytes has, if their names differ."""
    return _MOST_ROWS + _MOST_ROWS_PER_BYTE * size


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file's schema, pages and texts is an error of the file."""
    import pyarrow as pa

    try:
        yield
    except PasctlError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return InputError(f"{path}: not readable as Parquet: {reason}", hint=FORM)


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written again."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _require_names(path: Path, name: str, kind: Any) -> None:
    """Refuse a column of names that has something else than text or whole numbers."""
    import pyarrow.types as of

    values = kind.value_type if of.is_dictionary(kind) else kind
    if not (of.is_integer(values) or of.is_string(values) or of.is_large_string(values)):
        raise InputError(f"{path}: column {name}: text or whole numbers are expected, found {kind}", hint=FORM)


def _require_item(path: Path, name: str, kind: Any, inventory: Inventory) -> None:
    """Refuse a column that is no item, or has no numbers."""
    import pyarrow.types as of

    if name not in inventory.position:
        raise unknown_item(f"{path}: column {name}", name, inventory)
    if not (of.is_integer(kind) or of.is_floating(kind) or of.is_null(kind)):
        raise InputError(f"{path}: column {name}: whole numbers are expected, found {kind}", hint=FORM)


def runs_of(rows: IntArray) -> list[Span]:
    """Rows as runs of neighbours, in their order."""
    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)]
    return [(int(rows[a]), int(rows[b - 1]) + 1) for a, b in pairwise(cuts)]


def sweeps_of(runs: Sequence[Span]) -> list[list[Span]]:
    """Runs that follow each other in the file, together: each sweep reads it once."""
    found: list[list[Span]] = []
    for run in runs:
        if found and run[0] >= found[-1][-1][1]:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def together(parts: Sequence[PersonaSet]) -> PersonaSet:
    """Sets one after the other."""
    if len(parts) == 1:
        return parts[0]
    ids = tuple(name for part in parts for name in part.ids)
    return PersonaSet(parts[0].label, ids, np.concatenate([part.agreements for part in parts]), parts[0].coding)
