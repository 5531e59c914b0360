"""A script: the cells of a sheet of a workbook as JSON texts. Run by `pasctl.bounded`, for its reader may crash."""

from __future__ import annotations

import datetime
import io
import json
import sys
from pathlib import Path
from typing import Any

MOST_CELLS = 5_000_000


def main(path: str, sheet: str = "") -> None:
    """Print {"sheets": names, "sheet": name, "rows": texts}; whatever goes wrong is one line on stderr and status 1."""
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(Path(path).read_bytes()))
        names = list(book.sheet_names)
        if not names:
            raise ValueError("it has no sheet")
        name = sheet if sheet in names else names[int(sheet) - 1] if sheet else names[0]
        cells = book.get_sheet_by_name(name)
        if cells.total_height * cells.total_width > MOST_CELLS:
            raise ValueError(f"its sheet {name} has {cells.total_height} rows of {cells.total_width} cells")
        rows = [[text_of(cell) for cell in row] for row in cells.to_python()]
    except BaseException as error:  # a panic of calamine's is no Exception
        text = (str(error).splitlines() or [""])[0]
        sys.exit(f"{type(error).__name__}: {text}")
    json.dump({"sheets": names, "sheet": name, "rows": rows}, sys.stdout)


def text_of(cell: Any) -> str:
    """A cell as text: whole numbers without a point."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return f"{cell:.15g}"
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell).strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
