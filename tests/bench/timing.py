"""Timed runs, tables of their ratios, and how fast the machine is at all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


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


@dataclass(frozen=True)
class Raced:
    """One side of a race.

    Attributes:
        seconds: median of its rounds, scaled up to the whole work.
        share: the part of the whole work that ran.
        result: of the last round.
    """

    seconds: float
    share: float
    result: Any

    def line(self, what: str, counted: str, group: str = "") -> Timing:
        """Its line in a table; `counted` is of the whole work."""
        return Timing(what, self.seconds, counted + _scaled(self.share), group=group)


def race(*sides: Callable[[], Any], shares: Sequence[float] = (), rounds: int = 3) -> list[Raced]:
    """Time the sides in turns, so that what slows the machine down slows them all.

    The caller has run each side before, on little, to warm it up.

    Args:
        sides: ours first.
        shares: the part of the whole work that each side does; by default all of it.
        rounds: how often each runs.
    """
    seconds: list[list[float]] = [[] for _ in sides]
    results: list[Any] = [None for _ in sides]
    for number in range(rounds):
        turns = range(len(sides))
        for place in turns if number % 2 == 0 else reversed(turns):
            began = time.perf_counter()
            results[place] = sides[place]()
            seconds[place].append(time.perf_counter() - began)
    return [
        Raced(statistics.median(spent) / share, share, result)
        for spent, share, result in zip(seconds, shares or [1.0] * len(sides), results, strict=True)
    ]


def timed(what: str, counted: str, work: Callable[[], object], *, share: float = 1.0) -> Timing:
    """Time one call; `share` is the part of the whole work that it does, and the time is scaled up by it."""
    return Timing(what, _seconds(work) / share, counted + _scaled(share))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _scaled(share: float) -> str:
    return "" if share == 1 else f", extrapolated from {share:.1%}"


def lines(timings: list[Timing]) -> list[str]:
    """A table with the ratio to the first line of each group, under the group's name if it has one."""
    found: list[str] = []
    first: dict[str, float] = {}
    for each in timings:
        if each.group and each.group not in first:
            found.append(f"  {each.group}")
        ours = first.setdefault(each.group, each.amount)
        indent = "    " if each.group else "  "
        amount = f"{each.amount:,.2f}" if each.amount < 10_000 else f"{each.amount:,.0f}"
        told = f"{indent}{each.what}"
        found.append(f"{told:<66}{amount:>9} {each.unit:<3}{each.amount / ours:8.2f}x  {each.counted}")
    return found


def note(text: str) -> None:
    """Say what a bench runs on, before its table is there."""
    print(f"  {text}", flush=True)


def agreement(what: str, ours: Tensor, theirs: Tensor) -> None:
    """Print how far two computations of the same numbers are apart, beside how large the numbers are."""
    difference = (ours.float() - theirs.float()).abs()
    apart = f"largest difference {difference.max():.2g}, mean {difference.mean():.2g}"
    note(f"{what}: {apart}, of numbers with std {theirs.float().std():.2g}")


def matmul_rate(dtype: str) -> float:
    """GFLOP/s of 1024x1024 by 1024x4096, the best of 20."""
    kind = getattr(torch, dtype)
    left, right = torch.randn(1024, 1024).to(kind), torch.randn(4096, 1024).to(kind)
    # as a layer multiplies: the weights are [out, in]
    best = min(_seconds(lambda: torch.nn.functional.linear(left, right)) for _ in range(20))
    return 2 * 1024 * 1024 * 4096 / best / 1e9
