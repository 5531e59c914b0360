"""Trying what comes with a model in a process of its own, within limits of time and memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pasctl.errors import InputError

SECONDS = 5
"""Of a processor; by the clock twice as many, since others may use it."""
BYTES = (1 << 30) + (1 << 28)
"""Address space of the process: a gibibyte above what Python itself maps."""

_CHILD = Path(__file__).with_name("guard_child.py")


def run_guarded(task: dict[str, Any], packages: Sequence[str], what: str, hint: str) -> int:
    """Do a task of `guard_child` within the limits and give its count.

    Where a system has no limits of memory (Windows, macOS), the time is bounded alone.

    Args:
        task: as JSON.
        packages: that the process imports.
        what: is tried, for errors.
        hint: for errors.

    Raises:
        InputError: it takes more time or memory, or fails.
    """
    origins = [Path(str(spec.origin)) for name in packages if (spec := find_spec(name)) is not None]
    task = {
        "path": sorted({str(origin.parent.parent) for origin in origins}),
        "bytes": BYTES,
        "seconds": SECONDS,
        **task,
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", str(_CHILD)],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=2 * SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{what} takes more than {2 * SECONDS} s", hint=hint) from None
    if done.returncode < 0 and -done.returncode == getattr(signal, "SIGXCPU", 0):
        raise InputError(f"{what} takes more than {SECONDS} s", hint=hint)
    outcome, _, count = done.stdout.strip().partition(" ")
    if outcome == "memory":
        raise InputError(f"{what} takes more than {BYTES >> 20:,} MiB of memory", hint=hint)
    if outcome != "done":
        raise InputError(f"{what} ends the process that tries it (exit code {done.returncode})", hint=hint)
    return int(count)
