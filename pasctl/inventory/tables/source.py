"""A file of any format as a `Table`.

Text: `.csv`, `.tsv`, `.tab`, `.txt`, `.dat`, whatever separates the fields. Workbooks: `.xlsx`, `.xlsm`, `.xlsb`,
`.xls`, `.ods`. SPSS, Stata and SAS, with the extra `tables`: `.sav`, `.zsav`, `.por`, `.dta`, `.sas7bdat`, `.xpt`.
Arrow: `.parquet`, `.feather`, `.arrow`.
"""

from __future__ import annotations

from pathlib import Path

from pasctl.errors import InputError, MissingError
from pasctl.inventory.items import Inventory
from pasctl.inventory.tables.binary_table import (
    ARROW,
    SHEETS,
    STATISTICS,
    arrow_table,
    sheet_table,
    statistics_table,
)
from pasctl.inventory.tables.table import Table
from pasctl.inventory.tables.table_map import TableMap
from pasctl.inventory.tables.text_table import fixed_table, text_table
from pasctl.text_file import refuse_device

TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat")
ENDINGS = (*TEXT, *SHEETS, *STATISTICS, *ARROW)
"""Endings of the files that are tables."""
_FORMATS = "a table has the columns item and agreement (and persona), or a column id and one for each item id"


def open_table(path: Path, said: TableMap, inventory: Inventory) -> Table:
    """The table in a file.

    Raises:
        InputError: it is not readable.
        MissingError: there is no such file, or a package that reads it is not installed.
    """
    try:
        refuse_device(path, "answers file")
        if said.fixed:
            return fixed_table(path, said)
        ending = path.suffix.lower()
        if ending in SHEETS:
            return sheet_table(path, said, inventory)
        if ending in STATISTICS:
            return statistics_table(path)
        return arrow_table(path) if ending in ARROW else text_table(path, said, inventory)
    except FileNotFoundError as error:
        raise MissingError(f"answers file {path} does not exist", hint=_FORMATS) from error
    except OSError as error:
        raise InputError(f"{path}: not readable: {error.strerror or error}", hint=_FORMATS) from error
