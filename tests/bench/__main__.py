"""`python -m tests.bench [extract] [score] [probes] [memory]`: tables of ratios; nothing about time is asserted."""

from __future__ import annotations

import sys

import torch

from tests.bench import extract, memory, probes, score
from tests.bench.timing import lines

BENCHES = {"extract": extract.run, "score": score.run, "probes": probes.run, "memory": memory.run}


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"unknown bench {', '.join(unknown)}, expected {', '.join(BENCHES)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in names or BENCHES:
        print(f"\n{name}")
        print("\n".join(lines(BENCHES[name]())))


if __name__ == "__main__":
    main(sys.argv[1:])
