"""`python -m tests.fuzz readers|commands`: mutants for every reader, or random command lines; prints its counts."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzz, and exit with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=("readers", "commands"))
    parser.add_argument("--count", type=int, required=True, help="mutants per reader, or command lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose name has this in it")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for mutants that show a fault")
    options = parser.parse_args()
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # others reserve more than the bound at once
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    keep = options.keep.absolute()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "readers":
            from tests.fuzz.run import run

            faults = run(Path(folder), count=options.count, seed=options.seed, only=options.only, keep=keep)
        else:
            from tests.fuzz import command_lines

            faults = command_lines.run(Path(folder), count=options.count, seed=options.seed)
        os.chdir(keep.anchor)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
