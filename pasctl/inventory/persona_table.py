"""Personas as a table: a text column `id` and a column for each item, a row for each respondent.

The same form is what a user's Parquet file has, see `pasctl.inventory.persona_file`, and what stages keep of a large
set. A missing answer is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pasctl.inventory.personas import PersonaSet

if TYPE_CHECKING:
    import pyarrow as pa

ID = "id"


def persona_table(personas: PersonaSet, items: Sequence[str]) -> pa.Table:
    """The table of some personas.

    Args:
        personas: P personas.
        items: ids of the items, in the order of the agreements' columns.

    Returns:
        a table of P rows; agreements are int8, or float64 where some are not whole.
    """
    import pyarrow as pa

    missing = np.isnan(personas.agreements)
    whole = np.where(missing, 0, personas.agreements).astype(np.int8)
    values = whole if (missing | (whole == personas.agreements)).all() else personas.agreements
    columns = [pa.array(values[:, column], mask=missing[:, column]) for column in range(personas.n_items)]
    return pa.table([pa.array(personas.ids, pa.string()), *columns], names=[ID, *items])


def set_of_table(table: pa.Table, label: str, coding: str) -> PersonaSet:
    """Inverse of `persona_table`."""
    columns = [table.column(place).to_numpy() for place in range(1, table.num_columns)]
    agreements = np.stack([column.astype(np.float64) for column in columns], axis=1)
    return PersonaSet(label, tuple(table.column(0).to_pylist()), agreements, coding)


def write_personas(personas: PersonaSet, items: Sequence[str], path: Path | str) -> None:
    """Write a Parquet file that `--personas` takes."""
    import pyarrow.parquet as pq

    pq.write_table(persona_table(personas, items), path, compression="zstd")
