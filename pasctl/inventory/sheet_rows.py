"""A script: the rows of a spreadsheet's first sheet as JSON. Run by `pasctl.bounded`, for its reader may crash."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

MOST_CELLS = 1_000_000


def main(path: str) -> None:
    """Print the rows; whatever goes wrong is one line on stderr and status 1."""
    import python_calamine

    try:
        # From bytes, not by path: calamine then goes by the content, so a key saved again as xlsx can keep its name.
        sheet = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(Path(path).read_bytes())).get_sheet_by_index(
            0
        )
        if sheet.total_height * sheet.total_width > MOST_CELLS:
            raise ValueError(f"its first sheet has {sheet.total_height} rows of {sheet.total_width} cells")
        rows = sheet.to_python()
    except BaseException as error:  # a panic of calamine's is no Exception
        text = (str(error).splitlines() or [""])[0]
        sys.exit(f"{type(error).__name__}: {text}")
    json.dump(rows, sys.stdout, default=str)


if __name__ == "__main__":
    main(sys.argv[1])
