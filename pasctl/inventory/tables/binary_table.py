"""Workbooks, and files of SPSS, Stata, SAS and Arrow, as a `Table`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.bounded import Bounds, BoundsError, run_bounded
from pasctl.errors import InputError, MissingError
from pasctl.inventory.items import Inventory
from pasctl.inventory.persona_source import most_rows, rows_of
from pasctl.inventory.tables.table import Block, Table
from pasctl.inventory.tables.table_map import TableMap
from pasctl.inventory.tables.text_table import distinct_names, rows_table
from pasctl.json_file import parse_json

if TYPE_CHECKING:
    import pyarrow as pa

SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
STATISTICS = (".sav", ".zsav", ".por", ".dta", ".sas7bdat", ".xpt")
ARROW = (".parquet", ".feather", ".arrow")
_SCRIPTS = Path(__file__).parent
_LEAST = Bounds(memory=1 << 30, seconds=10)  # pandas alone takes a second to load
_MOST = Bounds(memory=6 << 30, seconds=120)
_BATCH = 8192  # rows
_FORMAT = "is the file whole, and of the kind that its ending says?"


def sheet_table(path: Path, said: TableMap, inventory: Inventory) -> Table:
    """A sheet of a workbook; the first where the map names none.

    Raises:
        InputError: it is not readable, or has no such sheet.
    """
    found = _printed(_SCRIPTS / "sheet_cells.py", path, "a workbook", *([said.sheet] if said.sheet else []))
    others = [name for name in found["sheets"] if name != found["sheet"]]
    facts = (("sheet", repr(found["sheet"])), *((("sheets that are not read", ", ".join(others)),) if others else ()))
    return rows_table(path, found["rows"], said, inventory, facts if others else ())


def statistics_table(path: Path) -> Table:
    """A file of SPSS, Stata or SAS, with what it says its values mean. Values that it declares missing are empty.

    Raises:
        InputError: it is not readable.
        MissingError: pyreadstat is not installed.
    """
    if find_spec("pyreadstat") is None:
        raise MissingError(
            f"{path}: a {path.suffix} file needs the package pyreadstat", hint="pip install 'pasctl[tables]'"
        )
    found = _printed(_SCRIPTS / "statistics_columns.py", path, f"a {path.suffix} file")
    columns = found["columns"]
    rows = range(1, len(columns[0]) + 1) if columns else range(0)
    header = distinct_names(found["header"], path)
    if not columns:
        raise InputError(f"{path}: no answers found", hint="a table has columns, and rows of answers")
    return Table(
        path,
        header,
        lambda: iter([Block(rows, columns)] if rows else []),
        questions=found["questions"],
        value_labels=found["value_labels"],
        what="row",
    )


def arrow_table(path: Path) -> Table:
    """A Parquet or Feather file.

    Raises:
        InputError: it is not readable, or a column holds something else than numbers, text and times.
    """
    import pyarrow as pa

    try:
        names = distinct_names(_schema(path).names, path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error

    def blocks() -> Iterator[Block]:
        row = 0
        try:
            for batch in _batches(path):
                batch.validate(full=True)  # what reads the cells of a damaged one may read anywhere in memory
                columns = [_texts(batch.column(place)) for place in range(batch.num_columns)]
                yield Block(range(row + 1, row + batch.num_rows + 1), columns)
                row += batch.num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(path, error) from error

    return Table(path, names, blocks, what="row")


def _printed(script: Path, path: Path, kind: str, *arguments: str) -> Any:
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return parse_json(run_bounded(script, str(path), *arguments, bounds=_bounds(path.stat().st_size)))
    except (BoundsError, ValueError) as error:
        hint = f"{_FORMAT} --map FILE with sheet: NAME names one" if arguments else _FORMAT
        raise InputError(f"{path}: not readable as {kind}: {error}", hint=hint) from error


def _bounds(size: int) -> Bounds:
    """What a file of so many bytes may take: a cell takes one packed, and some 200 as text in Python."""
    memory, seconds = _LEAST.memory + 256 * size, _LEAST.seconds + 30 * (size >> 20)
    return Bounds(min(memory, _MOST.memory), min(seconds, _MOST.seconds))


def _schema(path: Path) -> pa.Schema:
    import pyarrow.ipc as ipc
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        return pq.read_schema(path)
    with path.open("rb") as stream:
        return ipc.open_file(stream).schema


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.ipc as ipc
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path, buffer_size=1 << 16) as file:
            rows_of(file, path.stat().st_size)
            yield from file.iter_batches(_BATCH, use_threads=False)
        return
    with path.open("rb") as stream:
        reader = ipc.open_file(stream)
        count, most = 0, most_rows(path.stat().st_size)
        for place in range(reader.num_record_batches):
            batch = reader.get_batch(place)
            count += batch.num_rows
            if count > most:
                raise ValueError(f"more than {most:,} rows in a file of so few bytes")
            for start in range(0, batch.num_rows, _BATCH):
                yield batch.slice(start, _BATCH)


def _texts(column: pa.Array) -> list[str]:
    """The cells of a column as text: whole numbers without a point, nothing where it is null or NaN."""
    import pyarrow as pa
    import pyarrow.types as of

    if of.is_dictionary(column.type):
        column = column.dictionary_decode()
    if of.is_floating(column.type):
        return ["" if cell is None or cell != cell else f"{cell:.15g}" for cell in column.to_pylist()]
    if of.is_nested(column.type) or of.is_binary(column.type):
        return [""] * len(column)
    return ["" if cell is None else cell.strip() for cell in column.cast(pa.string()).to_pylist()]


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    kind = "Parquet" if path.suffix.lower() == ".parquet" else "Feather"
    return InputError(f"{path}: not readable as {kind}: {reason}", hint=_FORMAT)
