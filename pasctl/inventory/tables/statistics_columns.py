"""A script: the columns of a file of SPSS, Stata or SAS as JSON texts. Run by `pasctl.bounded`, for it may crash."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

READERS = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".por": "read_por",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
    ".xpt": "read_xport",
}
MOST_CELLS = 20_000_000


def main(path: str) -> None:
    """Print {"header", "columns", "value_labels", "questions"}; what goes wrong is one line on stderr and status 1."""
    import pyreadstat

    try:
        read = getattr(pyreadstat, READERS[Path(path).suffix.lower()])
        _, about = read(path, metadataonly=True)
        rows = about.number_rows or 0
        if rows * about.number_columns > MOST_CELLS:
            raise ValueError(f"it has {rows} rows of {about.number_columns} columns, more than are read at once")
        data, about = read(path, output_format="dict")
    except BaseException as error:
        text = (str(error).splitlines() or [""])[0]
        sys.exit(f"{type(error).__name__}: {text}")
    json.dump(
        {
            "header": list(data),
            "columns": [[text_of(cell) for cell in column] for column in data.values()],
            "value_labels": {
                column: {text_of(value): str(label) for value, label in labels.items()}
                for column, labels in about.variable_value_labels.items()
            },
            "questions": {name: str(text) for name, text in about.column_names_to_labels.items() if text},
        },
        sys.stdout,
    )


def text_of(cell: Any) -> str:
    """A cell as text: whole numbers without a point, nothing where it is missing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float):
        return f"{cell:.15g}"
    return str(cell).strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
