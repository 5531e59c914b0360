"""Draw the pictures of README and docs again: `python docs/images/draw.py`.

The numbers are those that were measured of the demo model, beside its weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pasctl.report.blocks import WIDE
from pasctl.report.encode import standalone
from pasctl.report.sections.results import composites

HERE = Path(__file__).parent
SOURCES = {
    "composite.svg": HERE.parents[1] / "pasctl/demo/model/evaluation.json",
}


def draw(folder: Path) -> None:
    """Write each picture into a folder."""
    for name, source in SOURCES.items():
        drawn = composites(json.loads(source.read_text(encoding="utf-8"))["conditions"])
        written = standalone(drawn.draw(WIDE), drawn.title, drawn.caption)
        (folder / name).write_text(written, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
