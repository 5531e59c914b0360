"""Uses: which artifacts running work reads, and which keys it writes.

They stand in the index with the leases and count while the lease of the work does. Whoever removes artifacts holds the
index for writing, from the look at the uses to the last rename; so an artifact is either noted here before that look
and stays, or it is gone before the work notes it and the work is refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pasctl.errors import MissingError, PasctlError
from pasctl.store.artifact import Artifact
from pasctl.store.index import Index
from pasctl.store.processes import realm, runs, start_time
from pasctl.store.registration import is_present
from pasctl.store.schema import leases

OTHERS_SECONDS = 7 * 86400.0
"""How long an expired lease of another machine still keeps what it names: the clocks may be days apart."""

_KEY = sa.String(67)
# no table of the schema: an index of before gets it on first use, and an older pasctl passes it by
_uses = sa.Table(
    "uses",
    sa.MetaData(),
    sa.Column("key", _KEY, primary_key=True),  # of the work
    sa.Column("input_key", _KEY, primary_key=True),
)


@dataclass(frozen=True)
class InUse:
    """Keys that running work writes, and keys of artifacts that it reads."""

    written: frozenset[str]
    read: frozenset[str]


@contextlib.contextmanager
def using(index: Index, key: str, artifacts: Iterable[Artifact]) -> Iterator[None]:
    """Notes for the `with` block that the work on `key`, whose lease the caller holds, reads artifacts.

    Where the index cannot be written nothing is noted, and nothing can be removed either.

    Raises:
        MissingError: one of them was removed from the store.
    """
    gone = note(index, key, artifacts)
    if gone:
        raise MissingError(
            f"{gone[0].name} was removed from the store meanwhile",
            hint="run the stage that made it again, or name another input",
        )
    try:
        yield
    finally:
        with contextlib.suppress(PasctlError), index.write() as connection:
            _uses.create(connection, checkfirst=True)
            connection.execute(_uses.delete().where(_uses.c.key == key))


def note(index: Index, key: str, artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Notes that the work on `key` reads artifacts, until its lease is given back; those that were removed before."""
    unique = {artifact.key: artifact for artifact in artifacts}
    gone: list[Artifact] = []
    if not unique:
        return gone
    with contextlib.suppress(PasctlError), index.write() as connection:
        _uses.create(connection, checkfirst=True)
        connection.execute(_uses.delete().where(_uses.c.key == key, _uses.c.input_key.in_(unique)))
        connection.execute(_uses.insert(), [{"key": key, "input_key": each} for each in unique])
        gone = [artifact for artifact in unique.values() if not is_present(artifact)]
    return gone


def in_use(connection: sa.Connection) -> InUse:
    """What running work writes and reads, as far as it has said so."""
    held = connection.execute(leases.select()).mappings().all()
    written = frozenset(row["key"] for row in held if _may_run(row))
    if not sa.inspect(connection).has_table(_uses.name):
        return InUse(written, frozenset())
    rows = connection.execute(sa.select(_uses.c.key, _uses.c.input_key)).all()
    return InUse(written, frozenset(row.input_key for row in rows if row.key in written))


def forget_ended(connection: sa.Connection, current: InUse) -> None:
    """Takes away what was noted for work that has ended without giving its lease back."""
    if sa.inspect(connection).has_table(_uses.name):
        connection.execute(_uses.delete().where(_uses.c.key.not_in(current.written)))


def _may_run(held: Any) -> bool:
    """Whether the holder of a lease may still be at work: a process that can be seen from here is asked after."""
    if held["realm"] == realm():
        return runs(held["pid"]) and held["started"] == start_time(held["pid"])
    return bool(held["expires"] > time.time() - OTHERS_SECONDS)
