"""`python -m tests.bench [NAME]...`: tables of ratios, of all benches or of those named; no time is asserted.

`gpu`, `event_index`, `memory_length`, `retrieval`, `serve` and `structured` run only where they are named: the first
needs a CUDA device, the last llguidance, the others minutes. `serve` also asks vLLM, if PASCTL_VLLM_PYTHON or
.venv-vllm is an environment that has it.

`PASCTL_PAPI` names a PAPI folder whose items are asked; without it the built-in ones are.
"""

from __future__ import annotations

import sys
from importlib import import_module

import torch

from tests.bench.timing import lines, matmul_rate

BENCHES = ("extract", "score", "answer", "overhead", "peers", "probes", "memory", "hybrid", "prefix")


def main(names: list[str]) -> None:
    known = (*BENCHES, "event_index", "memory_length", "retrieval", "serve", "structured", "gpu")
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"unknown bench {', '.join(unknown)}, expected {', '.join(known)}")
    rates = ", ".join(f"{dtype} {matmul_rate(dtype):.0f} GFLOP/s" for dtype in ("bfloat16", "float32"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; matrices multiply at {rates}")
    for name in names or BENCHES:
        print(f"\n{name}", flush=True)
        for line in lines(import_module(f"tests.bench.{name}").run()):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
