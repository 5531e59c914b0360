"""A script: the rows of all sheets of a spreadsheet as JSON. Run by `pasctl.bounded`, for its reader may crash."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

MOST_CELLS = 200_000


def main(path: str) -> None:
    """Print {sheet: rows}; whatever goes wrong is one line on stderr and status 1."""
    import python_calamine

    sheets = {}
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(Path(path).read_bytes()))
        cells = 0
        for name in workbook.sheet_names:
            sheet = workbook.get_sheet_by_name(name)
            cells += sheet.total_height * sheet.total_width
            if cells > MOST_CELLS:
                raise ValueError(f"sheet {name} brings it to more than {MOST_CELLS} cells")
            # Leading empty rows are kept: row numbers are those that the user sees.
            sheets[name] = sheet.to_python(skip_empty_area=False)
    except BaseException as error:  # a panic of calamine's is no Exception
        text = (str(error).splitlines() or [""])[0]
        sys.exit(f"{type(error).__name__}: {text}")
    json.dump(sheets, sys.stdout, default=str)


if __name__ == "__main__":
    main(sys.argv[1])
