"""One timed run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    what: str
    seconds: float
    counted: str


def timed(what: str, counted: str, work: Callable[[], object], *, share: float = 1.0) -> Timing:
    """Time one call; `share` is the part of the whole work that it does, and the time is scaled up by it."""
    began = time.perf_counter()
    work()
    seconds = (time.perf_counter() - began) / share
    scaled = "" if share == 1 else f", extrapolated from {share:.0%}"
    return Timing(what, seconds, counted + scaled)
