"""SQLite as the index needs it: transactions, write-ahead logging, and what its errors mean.

Every write transaction is BEGIN IMMEDIATE: one that reads first and writes later fails "locked" as soon as two
processes do it at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from pasctl.errors import BusyError, IntegrityError, PasctlError, StoreError
from pasctl.store.disk import disk_full, read_only

BUSY_SECONDS = 30


def file_engine(path: Path) -> sa.Engine:
    """An engine for a database file."""
    # NullPool: no connection outlives its transaction, so nothing is shared across a fork or a thread
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not send its own BEGIN
        for pragma in (f"busy_timeout = {BUSY_SECONDS * 1000}", "foreign_keys = ON", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("pasctl_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def memory_engine() -> sa.Engine:
    """An engine for a database that lives as long as the engine."""
    return sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def compact(path: Path) -> None:
    """Writes a database anew without the pages that nothing uses any more, which still hold what was deleted."""
    with database_errors(path), contextlib.closing(sqlite3.connect(path, BUSY_SECONDS, isolation_level=None)) as lone:
        lone.execute("VACUUM")
        lone.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def write_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that holds the write lock from its start."""
    with engine.connect() as connection, connection.execution_options(pasctl_write=True).begin():
        yield connection


def use_wal(engine: sa.Engine) -> None:
    """Switches to write-ahead logging; SQLite's busy timeout does not cover that switch."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        else:
            return
        finally:
            raw.close()
        time.sleep(0.05)


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turns the database's errors into pasctl's."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        raise _translate(path, getattr(error, "orig", error)) from error


def _translate(path: Path, cause: Any) -> PasctlError:
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(f"{path}: another process held the index for {BUSY_SECONDS} s", hint="run the command again")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_TOOBIG):
        return disk_full(path, str(cause))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return read_only(path, str(cause))
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"{path}: {cause}", hint="is the disk full or gone? nothing computed is lost: run the command again"
        )
    return IntegrityError(f"{path} is no usable index: {cause}", hint="rebuild it with `pasctl store reindex`")
