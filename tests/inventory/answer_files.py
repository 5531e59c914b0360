"""The same answers in each form of file that pasctl reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pasctl.inventory import Inventory
from pasctl.inventory.answer_sums import FloatArray


def names(values: FloatArray) -> list[str]:
    return [f"r{row}" for row in range(len(values))]


def as_json(folder: Path, values: FloatArray, inventory: Inventory) -> str:
    path = folder / "people.json"
    people = {
        name: {item.id: int(v) for item, v in zip(inventory.items, row, strict=True) if not np.isnan(v)}
        for name, row in zip(names(values), values, strict=True)
    }
    path.write_text(json.dumps(people))
    return str(path)


def as_long_csv(folder: Path, values: FloatArray, inventory: Inventory) -> str:
    path = folder / "people.csv"
    lines = [
        f"{name},{item.id},{'NA' if np.isnan(v) else int(v)}"
        for name, row in zip(names(values), values, strict=True)
        for item, v in zip(inventory.items, row, strict=True)
    ]
    path.write_text("\n".join(["persona,item,agreement", *lines]))
    return str(path)


def as_wide_tsv(folder: Path, values: FloatArray, inventory: Inventory) -> str:
    path = folder / "people.tsv"
    rows = [
        "\t".join([name, *("" if np.isnan(v) else str(int(v)) for v in row)])
        for name, row in zip(names(values), values, strict=True)
    ]
    path.write_text("\n".join(["\t".join(["id", *inventory.position]), *rows]))
    return str(path)


def as_parquet(folder: Path, values: FloatArray, inventory: Inventory) -> str:
    path = folder / "people.parquet"
    columns = [pa.array(column, from_pandas=True) for column in values.T]
    table = pa.table([pa.array(names(values)), *columns], names=["id", *inventory.position])
    pq.write_table(table, path, row_group_size=500)
    return str(path)


FORMS: dict[str, Callable[[Path, FloatArray, Inventory], str]] = {
    "json": as_json,
    "long csv": as_long_csv,
    "wide tsv": as_wide_tsv,
    "parquet": as_parquet,
}
