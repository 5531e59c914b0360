"""`python -m tests.golden [CASE...]`: write the golden list anew, or the rows of some cases and of none else.

Do it for a stage whose results are changed on purpose, and name the stage in the CHANGELOG.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from tests.golden.cases import CASES, make_all
from tests.golden.record import GOLDEN, fingerprint, read_golden, record


def main(wanted: list[str]) -> None:
    """Run the cases and write those wanted."""
    torch.set_num_threads(1)
    if unknown := sorted(set(wanted) - set(CASES)):
        sys.exit(f"no case {unknown[0]!r}, there are {', '.join(CASES)}")
    rows = read_golden()["cases"] if wanted else {}
    with tempfile.TemporaryDirectory() as folder:
        made = make_all(Path(folder))
        names = {artifact.content_digest: name for name, artifact in made.items()}
        for name in wanted or made:
            row = record(made[name], names)
            print(name, "changed" if rows.get(name) != row else "as before")
            rows[name] = row
    document = {"fingerprint": fingerprint(), "cases": {name: rows[name] for name in CASES if name in rows}}
    GOLDEN.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


main(sys.argv[1:])
