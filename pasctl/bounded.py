"""Work on data of others in a process of its own with limits: what hangs, crashes or takes all memory ends there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Runs the script named by argv[3] under the limits in argv[1:3]. They are not set between fork and exec, where a
# process with threads may hang.
_START = """
import runpy, sys
memory, seconds = map(int, sys.argv[1:3])
del sys.argv[:3]
try:
    import resource
except ImportError:
    pass
else:
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, hard))
        except (OSError, ValueError):
            pass
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# One thread: each takes address space for its stack and its arena, however little it uses.
_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "RAYON_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


@dataclass(frozen=True)
class Bounds:
    """What a child process may take: bytes of address space, and seconds of computing; of waiting, three times that."""

    memory: int = 1 << 30
    seconds: int = 5


class BoundsError(Exception):
    """A child process that did not come to its end; one line that says why."""


def run_bounded(script: Path, *arguments: str, given: bytes = b"", bounds: Bounds | None = None) -> bytes:
    """What a script of the package prints, run by path and without the package: it imports only what it needs.

    A script says on stderr, in one line, why it gives up. Where the system knows no limits only the time is bounded.

    Args:
        script: a Python file.
        arguments: its words.
        given: its standard input.
        bounds: what it may take.

    Raises:
        BoundsError: it gave up, crashed, or took more than it may.
    """
    bounds = bounds or Bounds()
    command = [sys.executable, "-P", "-c", _START, str(bounds.memory), str(bounds.seconds), str(script), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and a script of the package
            command,
            input=given,
            capture_output=True,
            env=os.environ | _ENVIRONMENT,
            timeout=3 * bounds.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BoundsError(f"it takes more than {3 * bounds.seconds} seconds") from error
    except OSError as error:
        raise BoundsError(f"no process could be started for it: {error.strerror or error}") from error
    if done.returncode == 0:
        return done.stdout
    raise BoundsError(_reason(done.returncode, done.stderr, bounds))


def _reason(status: int, told: bytes, bounds: Bounds) -> str:
    if status < 0:
        name = signal.Signals(-status).name if -status in {*signal.Signals} else f"signal {-status}"
        if name in ("SIGXCPU", "SIGKILL"):
            return f"it takes more than {bounds.seconds} seconds or {bounds.memory >> 20} MiB"
        return f"its reader crashed ({name}), or needs more than {bounds.memory >> 20} MiB"
    lines = told.decode("utf-8", errors="replace").strip().splitlines()
    if not lines or lines[-1].startswith("MemoryError"):
        return f"it needs more than {bounds.memory >> 20} MiB"
    return lines[-1]
