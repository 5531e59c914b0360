"""A step of the walk-through: what to type for it, what it is for, and what does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pasctl.memory.params import MemoryParams
from pasctl.stages.job import Outcome


@dataclass(frozen=True)
class Step:
    """One stage of the walk.

    Attributes:
        command: what to type for the same result.
        purpose: what it does.
        run: does it, or takes it from the store.
        expected: the right answer of a step that asks; None for the others.
    """

    command: str
    purpose: str
    run: Callable[[], Outcome]
    expected: str | None = None


def memory_words(params: MemoryParams) -> str:
    """The options that give these parameters."""
    sizes = ("n_init", "n_local", "n_mem", "chunk", "min_block", "max_block", "repr_topk")
    names = (*sizes, "gamma", "contiguity", "query", "segmenter")
    return " ".join(f"--{name.replace('_', '-')} {getattr(params, name)}" for name in names)
