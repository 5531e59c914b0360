"""A text of any length: what a token costs, and what is held, as the text gets longer; one thread, a tiny model.

`PASCTL_BENCH_TOKENS`, 262144 by default, is how much is read, with the archive on disk; 1048576 takes some minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.memory.checkpoint import states_of
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.params import MemoryParams
from pasctl.models.device import resident_memory
from tests.bench.timing import Timing
from tests.tiny import VOCAB, tiny_loaded

PARAMS = MemoryParams(n_init=64, n_local=512, n_mem=512, chunk=128, max_block=64)
STRETCH = 16384
FIRST = 65536


def run() -> list[Timing]:
    tokens = int(os.environ.get("PASCTL_BENCH_TOKENS", "262144"))
    if tokens < 2 * FIRST:
        sys.exit(f"PASCTL_BENCH_TOKENS is {tokens}, expected at least {2 * FIRST}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _read(Path(folder), tokens)
    finally:
        torch.set_num_threads(threads)
    return []


def _read(folder: Path, tokens: int) -> None:
    """Print a line at every power of two from the first stretch on."""
    model, generator = tiny_loaded(), torch.Generator().manual_seed(0)
    kept = 0

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        nonlocal kept
        path, ends = folder / f"{number:06d}", states_of(tensors)
        for part, to in ((tensors.keys() - ends.keys(), path), (ends.keys(), folder / "end")):
            save_file({name: (ends | tensors)[name].contiguous() for name in part}, to)
        kept += sum(tensors[name].nbytes for name in tensors if name[0] in "kv")
        return path

    memory = EpisodicMemory(model, params=PARAMS, writer=write)
    first = 0.0
    for done in range(STRETCH, tokens + 1, STRETCH):
        ids = torch.randint(6, VOCAB - 20, (STRETCH,), generator=generator).tolist()
        before, begun = memory.reader.past.events.compared, time.process_time()
        memory.read_ids(ids)
        seconds = time.process_time() - begun
        compared = memory.reader.past.events.compared - before
        if done < FIRST or done & (done - 1):
            continue
        first = first or seconds
        size = sum(path.stat().st_size for path in folder.iterdir())
        opened = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
        print(
            f"{done:>9,} tokens: {seconds:5.2f} CPU s for the last {STRETCH:,} ({seconds / first:.2f}x), "
            f"{memory.reader.past.events.evicted:,} events, {resident_memory() / 2**20:,.0f} MiB resident, "
            f"{compared / STRETCH:,.0f} vectors compared a token, {size / kept:.3f}x keys and values on disk, "
            f"{opened} open files",
            flush=True,
        )
