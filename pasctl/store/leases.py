"""Leases: who is working on a key right now.

They only save double work. Results are right without them, because commits settle every race; so where the table
cannot be written the work goes on without one.

No clock of another machine is trusted. A holder changes `expires` with every heartbeat; who waits for it looks whether
that changes while its own clock runs, and takes over when it stays the same for `EXPIRY_SECONDS`. What `expires` says
as a time matters to earlier versions alone.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pasctl.errors import BusyError, PasctlError
from pasctl.store.artifact import Artifact
from pasctl.store.index import Index
from pasctl.store.processes import realm, runs, start_time
from pasctl.store.schema import leases

HEARTBEAT_SECONDS = 5.0
EXPIRY_SECONDS = 30.0
_POLL_SECONDS = (0.2, 1.0)  # first wait and longest wait


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease. Times are ISO 8601 in UTC, by the clock of its machine."""

    host: str
    pid: int
    since: str
    expires: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})"


@contextlib.contextmanager
def lease(
    index: Index,
    key: str,
    *,
    until: Callable[[], Artifact | None],
    on_wait: Callable[[Holder], None] | None = None,
    timeout: float | None = None,
) -> Iterator[Artifact | None]:
    """Waits for the lease of a key, holds it for the `with` block, and gives it back.

    Yields None when the work is the caller's, or the artifact that `until` found: another process finished it.
    `on_wait` is called once, with the holder, as soon as that is known to live: at once for a process of this machine,
    with its next heartbeat for one of another machine.

    Raises:
        BusyError: `timeout` seconds have passed and the holder is still at it.
    """
    owner = secrets.token_hex(16)
    done = _wait(index, key, owner, until, on_wait, timeout)
    if done is not None:
        yield done
        return
    stop = threading.Event()
    heartbeat = threading.Thread(target=_beat, args=(index, key, owner, stop), name=f"lease {key[:15]}", daemon=True)
    heartbeat.start()
    try:
        yield None
    finally:
        stop.set()
        heartbeat.join()
        with contextlib.suppress(PasctlError), index.write() as connection:
            connection.execute(leases.delete().where(leases.c.key == key, leases.c.owner == owner))


def _wait(
    index: Index,
    key: str,
    owner: str,
    until: Callable[[], Artifact | None],
    on_wait: Callable[[Holder], None] | None,
    timeout: float | None,
) -> Artifact | None:
    begun, pause, watch = time.monotonic(), _POLL_SECONDS[0], Watch()
    while True:
        if (done := until()) is not None:
            return done
        holder = _acquire(index, key, owner, watch)
        if holder is None:
            # the former holder may have finished between the look and the lease
            if (done := until()) is not None:
                with contextlib.suppress(PasctlError), index.write() as connection:
                    connection.execute(leases.delete().where(leases.c.key == key, leases.c.owner == owner))
            return done
        if on_wait is not None and watch.lives:
            on_wait(holder)
            on_wait = None
        left = float("inf") if timeout is None else timeout - (time.monotonic() - begun)
        if left <= 0:
            raise BusyError(
                f"{holder} is still working on {key[:15]} after {timeout:g} s",
                hint="wait for it, or end that process: what it has finished is kept and not computed again",
            )
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _POLL_SECONDS[1])


class Watch:
    """What one waiting process has seen of a lease, by its own clock.

    Attributes:
        lives: whether the holder is known to live: it can be seen from here, or a heartbeat of it came.
    """

    def __init__(self) -> None:
        self.lives = False
        self._last: tuple[str, float] | None = None
        self._since = 0.0

    def counts(self, row: Any) -> bool:
        """Whether a lease still counts, as it stands in the table now."""
        here = row["realm"] == realm()
        if here and not (runs(row["pid"]) and row["started"] == start_time(row["pid"])):
            return False
        beat, now = (row["owner"], row["expires"]), time.monotonic()
        if beat != self._last:
            self.lives = here or (self._last is not None and self._last[0] == row["owner"])
            self._last, self._since = beat, now
        return now - self._since < EXPIRY_SECONDS


def _acquire(index: Index, key: str, owner: str, watch: Watch) -> Holder | None:
    """Takes the lease unless a living process holds it; that holder, or None."""
    try:
        with index.read() as connection:  # waiting costs no write transactions
            held = connection.execute(leases.select().where(leases.c.key == key)).mappings().first()
        if held is not None and watch.counts(held):
            return _holder(held)
        with index.write() as connection:
            held = connection.execute(leases.select().where(leases.c.key == key)).mappings().first()
            if held is not None and watch.counts(held):
                return _holder(held)
            connection.execute(leases.delete().where(leases.c.key == key))
            connection.execute(leases.insert().values(key=key, owner=owner, **_myself()))
    except PasctlError:
        return None  # no lease to be had here: the work goes on, and the commit settles races
    return None


def _beat(index: Index, key: str, owner: str, stop: threading.Event) -> None:
    mine = leases.update().where(leases.c.key == key, leases.c.owner == owner)
    while not stop.wait(HEARTBEAT_SECONDS):
        # a clock that is set back, or stands still, may not hide a heartbeat
        expires = time.time() + EXPIRY_SECONDS
        later = sa.case((leases.c.expires < expires, expires), else_=leases.c.expires + 1)
        with contextlib.suppress(PasctlError), index.write() as connection:
            connection.execute(mine.values(expires=later))


def _holder(held: Any) -> Holder:
    return Holder(held["host"], held["pid"], _iso(held["since"]), _iso(held["expires"]))


def _iso(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):  # of a clock that is far out
        return "an unknown time"


def _myself() -> dict[str, Any]:
    now = time.time()
    return {
        "host": platform.node(),
        "realm": realm(),
        "pid": os.getpid(),
        "started": start_time(os.getpid()),
        "since": now,
        "expires": now + EXPIRY_SECONDS,
    }
