"""A small PAPI folder written from scratch: PAlign's layout, about items and people that do not exist."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

FACETS = 2  # a trait; at most 9, since the item key numbers them with one digit
KEYS = (1, 1, 1, -1, -1)
N_ITEMS = 5 * FACETS * len(KEYS)


def answers(n: int, *, keyed: bool, seed: int = 3, facets: int = FACETS) -> npt.NDArray[np.int64]:
    """[n, items] in 1..5: a facet score plus noise, cut at fixed points; reversed on -1 items unless keyed."""
    rng = np.random.default_rng(seed)
    score = np.repeat(rng.standard_normal((n, 5 * facets)), len(KEYS), axis=1)
    values = 1 + np.digitize(score + rng.standard_normal(score.shape), [-1.5, -0.5, 0.5, 1.5])
    return values if keyed else np.where(np.tile(KEYS, 5 * facets) > 0, values, 6 - values)


def write_folder(folder: Path, values: npt.NDArray[np.int64]) -> Path:
    """Write answers [respondents, items] with an item key of as many facets as they have."""
    folder.mkdir(parents=True, exist_ok=True)
    count = values.shape[1]
    numbers = range(1, count + 1)
    codes = [f"{trait}{facet + 1}" for trait in "OCEAN" for facet in range(count // len(KEYS) // 5)]
    rows: list[list[object]] = []
    for number in numbers:
        code = codes[(number - 1) // len(KEYS)]
        sign = "+" if KEYS[(number - 1) % len(KEYS)] > 0 else "-"
        rows.append([number, "", sign + code, code, f"facet {code}", f"Do thing number {number}."])
    rows = [rows[i * 7 % count] for i in range(count)]  # the real key is not in Full# order either
    write_xlsx(folder / "IPIP-NEO-ItemKey.xls", [["Full#", "Short#", "Sign", "Key", "Facet", "Item"], *rows])
    split = {"train_index": [n for n in numbers if n % 3 == 0], "test_index": [n for n in numbers if n % 3]}
    (folder / "mpi_300_split.json").write_text(json.dumps(split))
    people = [
        {"case": 1000 + i, "country": "Nowhere"} | {f"i{n}": int(v) for n, v in zip(numbers, row, strict=True)}
        for i, row in enumerate(values)
    ]
    (folder / "Test-set.json").write_text(json.dumps(people))
    return folder


def write_xlsx(path: Path, rows: list[list[object]]) -> None:
    """The least that a spreadsheet reader accepts; calamine goes by the content, whatever the file is called."""
    cells = [
        "".join(
            f"<c><v>{value}</v></c>"
            if isinstance(value, int)
            else f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
            for value in row
        )
        for row in rows
    ]
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheet_type = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{sheet_type}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{sheet_type}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Key" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>'
        + "".join(f"<row>{row}</row>" for row in cells)
        + "</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
