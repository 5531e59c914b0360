"""One timed run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """One line of a table.

    Attributes:
        amount: seconds, or what `unit` says.
        counted: what was done.
        group: lines of one group are compared with the first of it.
    """

    what: str
    amount: float
    counted: str
    unit: str = "s"
    group: str = ""


def timed(what: str, counted: str, work: Callable[[], object], *, share: float = 1.0) -> Timing:
    """Time one call; `share` is the part of the whole work that it does, and the time is scaled up by it."""
    began = time.perf_counter()
    work()
    seconds = (time.perf_counter() - began) / share
    scaled = "" if share == 1 else f", extrapolated from {share:.0%}"
    return Timing(what, seconds, counted + scaled)


def lines(timings: list[Timing]) -> list[str]:
    """A table with the ratio to the first line of each group, under the group's name if it has one."""
    found: list[str] = []
    first: dict[str, float] = {}
    for each in timings:
        if each.group and each.group not in first:
            found.append(f"  {each.group}")
        ours = first.setdefault(each.group, each.amount)
        indent = "    " if each.group else "  "
        told = f"{indent}{each.what}"
        found.append(f"{told:<60}{each.amount:9.2f} {each.unit:<3}{each.amount / ours:7.2f}x  {each.counted}")
    return found
