"""`python -m tests.bench [extract] [score] [probes]`: print one table of ratios; nothing about time is asserted."""

from __future__ import annotations

import sys

import torch

from tests.bench import extract, probes, score

BENCHES = {"extract": extract.run, "score": score.run, "probes": probes.run}


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"unknown bench {', '.join(unknown)}, expected {', '.join(BENCHES)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in names or BENCHES:
        print(f"\n{name}")
        timings = BENCHES[name]()
        ours = timings[0].seconds
        for timing in timings:
            print(f"  {timing.what:<58}{timing.seconds:9.2f} s{timing.seconds / ours:8.1f}x  {timing.counted}")


if __name__ == "__main__":
    main(sys.argv[1:])
