"""Processes as the store sees them: which one wrote something, and whether it still runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from functools import cache
from pathlib import Path


@cache
def realm() -> str:
    """Where a process id means the same process: one boot of one machine, one process namespace (container) on it."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()} {boot} {namespace}"


@cache
def realm_tag() -> str:
    """Eight hex digits of the realm, for the names of temporary files."""
    return hashlib.sha256(realm().encode()).hexdigest()[:8]


def runs(pid: int) -> bool:
    """Whether a process of this realm runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process
    return not _is_zombie(pid)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command's name, which may hold spaces; empty where there is no /proc."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def start_time(pid: int) -> str:
    """When a process started, in ticks since boot; it tells a process from a later one with the same id."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""
