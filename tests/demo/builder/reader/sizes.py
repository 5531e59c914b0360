"""The reader's context, the tasks that it is measured on, and the memory that it is read with."""

from pasctl.memory.params import MemoryParams

CONTEXT = 192
"""Positions that the reader was trained for."""
TASKS = (
    *("passkey-varied", "niah-single-2", "niah-multikey-1", "niah-multikey-2"),
    *("update", "scenes", "keyvalue"),
)
"""Memory tasks that it is measured on. The facts of a trial of `tracking` are longer than the context."""
MEMORY = MemoryParams(n_init=8, n_local=64, n_mem=88, chunk=32, min_block=8, max_block=16, repr_topk=16, contiguity=0.0)
