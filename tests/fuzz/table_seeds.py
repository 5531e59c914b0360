"""Writes the seeds of tables of answers, workbooks and maps."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from pasctl.inventory import builtin_inventory
from tests.inventory.papi_files import write_xlsx
from tests.inventory.workbook import write_workbook

_IDS = [item.id for item in builtin_inventory().items][:10]
_ROWS: list[list[Any]] = [
    ["id", *_IDS, "age", "group"],
    ["ada", *(1 + place % 5 for place in range(10)), 31, "a"],
    ["bob", *(5 - place % 5 for place in range(10)), 44, "b"],
    ["eve", *(1 + place % 3 for place in range(10)), 27, "a"],
]
_MAP = {
    "id": "id",
    "layout": "wide",
    "items": dict(zip(_IDS, _IDS, strict=True)),
    "scale": {str(score): score for score in range(1, 6)},
    "missing": [0, -99],
    "reversed": _IDS[:1],
    "header_rows": 1,
    "separator": "comma",
    "encoding": "utf-8",
}
_LAUGHS = "\n".join(f"  - &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(9))


def write_tables(corpus: Path) -> None:
    """Write them."""
    for name in ("wide", "map", "arrow", "workbook", "items", "papi-key", "statistics"):
        (corpus / name).mkdir(exist_ok=True)
    text = "".join(",".join(map(str, row)) + "\n" for row in _ROWS)
    (corpus / "wide" / "two.csv").write_text(text)
    (corpus / "wide" / "long.tsv").write_text("persona\titem\tagreement\nada\tE01\t4\nbob\tE01\tNA\n")
    (corpus / "map" / "whole.json").write_text(json.dumps(_MAP, indent=1) + "\n")
    yaml = "".join(f"{name}: {json.dumps(value)}\n" for name, value in _MAP.items())
    (corpus / "map" / "whole.yaml").write_text(yaml)
    (corpus / "map" / "fixed.yaml").write_text('fixed: {id: 1-3, "item{n}": "5-14"}\nitems: "item{n}"\n')
    (corpus / "map" / "laughs.yaml").write_text(f"item:\n  - &a0 [x, x, x, x, x, x, x, x, x]\n{_LAUGHS}\n")
    columns = {str(head): list(column) for head, *column in zip(*_ROWS, strict=True)}
    table = pa.table(columns)
    pq.write_table(table, corpus / "arrow" / "three.parquet", compression="zstd")
    pq.write_table(pa.table({**columns, "group": pa.array("aba").dictionary_encode()}), corpus / "arrow" / "d.parquet")
    feather.write_feather(table, str(corpus / "arrow" / "three.feather"), compression="uncompressed")
    _workbooks(corpus, columns)


def _workbooks(corpus: Path, columns: dict[str, list[Any]]) -> None:
    import pandas as pd
    import pyreadstat

    write_workbook(corpus / "workbook" / "three.xlsx", {"People": _ROWS, "Notes": [["a note"]]})
    _write_ods(corpus / "workbook" / "three.ods")
    header = ["id", "text", "trait", "facet", "key"]
    items = [[f"q{n}", f"Item number {n}.", "EN"[n % 2], f"facet {n}", 1 - 2 * (n // 2)] for n in range(4)]
    write_workbook(corpus / "items" / "four.xlsx", {"items": [header, *items]})
    key = [["Full#", "Sign", "Facet", "Item"], [1, "+E1", "warmth", "like people"], [2, "-N1", "fear", "am calm"]]
    write_xlsx(corpus / "papi-key" / "two.xlsx", key)
    frame = pd.DataFrame(columns)
    place = corpus / "statistics"
    labels = {_IDS[0]: {1: "never", 5: "always"}}
    pyreadstat.write_sav(frame, str(place / "three.sav"), variable_value_labels=labels)
    pyreadstat.write_dta(frame, str(place / "three.dta"), variable_value_labels=labels)
    pyreadstat.write_xport(frame, str(place / "three.xpt"))
    pyreadstat.write_por(frame, str(place / "three.por"))


def _write_ods(path: Path) -> None:
    cells = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in _ROWS)
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{names}><office:body><office:spreadsheet>'
        f'<table:table table:name="People">{cells}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", manifest)


def _ods_cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
    return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
