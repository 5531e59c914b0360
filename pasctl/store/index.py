"""The index: a database that answers `ls`, `latest`, parts and leases quickly. `reindex` rebuilds it from the disk."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pasctl.errors import IntegrityError, StoreError
from pasctl.store import schema
from pasctl.store.artifact import Artifact
from pasctl.store.database import database_errors, file_engine, memory_engine, use_wal, write_transaction
from pasctl.store.disk import disk_errors, make_folder, read_only, temporary_path

_BATCH = 500  # values in one IN (...); SQLite's oldest limit is 999


@dataclass(frozen=True)
class Row:
    """What the index says of an artifact."""

    key: str
    kind: str
    version: int | None
    content_digest: str


class Index:
    """The index of one store.

    Where nothing can be written, or nothing has been written yet, reads are answered by an index in memory, built from
    the disk.
    """

    def __init__(
        self, path: Path, artifacts: Callable[[], Iterable[Artifact]], tags: Callable[[], Mapping[str, str]]
    ) -> None:
        self.path = path
        self._disk_artifacts = artifacts
        self._disk_tags = tags
        self._engine = file_engine(path)
        self._prepared = False

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read transaction."""
        with database_errors(self.path), self._open(write=False).begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A write transaction, which holds the only write lock from its start."""
        with database_errors(self.path), write_transaction(self._open(write=True)) as connection:
            yield connection

    def row(self, key: str) -> Row | None:
        """The row of one key."""
        with self.read() as connection:
            found = connection.execute(_ROW.where(schema.artifacts.c.key == key)).first()
        return None if found is None else Row(*found)

    def rows(self, kind: str | None = None, model: str | None = None, *, by_use: bool = False) -> list[Row]:
        """The rows of a kind and model, newest first; or, `by_use`, those first that were last made or asked for."""
        time = schema.artifacts.c.used_at if by_use else schema.artifacts.c.created_at
        query = _ROW.order_by(time.desc(), schema.artifacts.c.version.desc(), schema.artifacts.c.key)
        if kind is not None:
            query = query.where(schema.artifacts.c.kind == kind)
        if model is not None:
            query = query.where(schema.artifacts.c.model == model)
        with self.read() as connection:
            return [Row(*found) for found in connection.execute(query)]

    def holders(self, parts: Iterable[str]) -> dict[str, list[Row]]:
        """For each part that some artifact holds, those artifacts' rows, newest first."""
        wanted, found = sorted(set(parts)), dict[str, list[Row]]()
        query = _ROW.add_columns(schema.parts.c.part_key).join(
            schema.parts, schema.parts.c.artifact_key == schema.artifacts.c.key
        )
        with self.read() as connection:
            for start in range(0, len(wanted), _BATCH):
                chosen = query.where(schema.parts.c.part_key.in_(wanted[start : start + _BATCH]))
                for *row, part in connection.execute(chosen.order_by(schema.artifacts.c.created_at.desc())):
                    found.setdefault(part, []).append(Row(*row))
        return found

    def consumers(self, key: str) -> list[Row]:
        """The artifacts that have a key among their inputs, newest first."""
        users = sa.select(schema.inputs.c.artifact_key).where(schema.inputs.c.input_key == key)
        query = _ROW.where(schema.artifacts.c.key.in_(users)).order_by(schema.artifacts.c.created_at.desc())
        with self.read() as connection:
            return [Row(*found) for found in connection.execute(query)]

    def tags(self) -> dict[str, str]:
        """Key by tag, as the index has it."""
        with self.read() as connection:
            rows = connection.execute(sa.select(schema.tags.c.name, schema.tags.c.key))
            return {row.name: row.key for row in rows}

    def put(self, artifact: Artifact) -> None:
        """Enters an artifact, over an older row of the same key."""
        with self.write() as connection:
            _put(connection, artifact)

    def touch(self, key: str, when: str) -> None:
        """Notes that an artifact was asked for."""
        with self.write() as connection:
            connection.execute(schema.artifacts.update().where(schema.artifacts.c.key == key).values(used_at=when))

    def put_tag(self, name: str, key: str) -> None:
        """Enters a tag."""
        with self.write() as connection:
            connection.execute(schema.tags.delete().where(schema.tags.c.name == name))
            connection.execute(schema.tags.insert().values(name=name, key=key))

    def drop(self, connection: sa.Connection, key: str) -> None:
        """Takes the row of an artifact away, in a write transaction of the caller's."""
        connection.execute(schema.artifacts.delete().where(schema.artifacts.c.key == key))

    def drop_tag(self, name: str) -> None:
        """Takes a tag away."""
        with self.write() as connection:
            connection.execute(schema.tags.delete().where(schema.tags.c.name == name))

    def rebuild(self) -> None:
        """Makes the index what the disk says. A file that is no database is replaced by a new one.

        A healthy database is refilled in one transaction and not replaced: other processes may have it open.
        """
        try:
            with self.write() as connection:
                _fill(connection, self._disk_artifacts(), self._disk_tags())
        except IntegrityError:
            self._replace()

    def _replace(self) -> None:
        fresh = temporary_path(self.path.parent)
        engine = file_engine(fresh)
        try:
            with database_errors(fresh):
                _prepare(engine, fresh, self._disk_artifacts, self._disk_tags)
            engine.dispose()
            for suffix in ("-wal", "-shm"):  # SQLite would replay the old log into the new file
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            fresh.replace(self.path)
        finally:
            for suffix in ("", "-wal", "-shm"):
                fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)

    def _open(self, *, write: bool) -> sa.Engine:
        folder = self.path.parent
        if not write and not self._usable():
            engine = memory_engine()
            with engine.begin() as connection:
                schema.metadata.create_all(connection)
                _fill(connection, self._disk_artifacts(), self._disk_tags())
            return engine
        with disk_errors(folder):
            make_folder(folder)
        if not os.access(folder, os.W_OK) or (self.path.exists() and not os.access(self.path, os.W_OK)):
            raise read_only(self.path, "no permission, or a read-only medium")
        if not self._prepared or not self.path.exists():
            _prepare(self._engine, self.path, self._disk_artifacts, self._disk_tags)
            self._prepared = True
        return self._engine

    def _usable(self) -> bool:
        """Whether the database file can be used: SQLite's WAL mode writes beside the file even to read it."""
        folder = self.path.parent
        if not self.path.exists() and not (folder / "objects").is_dir():
            return False
        return os.access(folder, os.W_OK) and (not self.path.exists() or os.access(self.path, os.W_OK))


_ROW = sa.select(
    schema.artifacts.c.key, schema.artifacts.c.kind, schema.artifacts.c.version, schema.artifacts.c.content_digest
)


def _put(connection: sa.Connection, artifact: Artifact) -> None:
    for table, column in (
        (schema.inputs, schema.inputs.c.artifact_key),
        (schema.parts, schema.parts.c.artifact_key),
        (schema.artifacts, schema.artifacts.c.key),
    ):
        connection.execute(table.delete().where(column == artifact.key))
    connection.execute(
        schema.artifacts.insert().values(
            key=artifact.key,
            kind=artifact.kind,
            stage=artifact.stage,
            stage_version=artifact.stage_version,
            model=artifact.model,
            label=artifact.label,
            version=artifact.version,
            content_digest=artifact.content_digest,
            size=artifact.size,
            created_at=artifact.created_at,
            used_at=artifact.created_at,
        )
    )
    inputs: list[dict[str, Any]] = [
        {"artifact_key": artifact.key, "role": role, "input_key": source.key, "content_digest": source.content_digest}
        for role, source in artifact.inputs.items()
    ]
    parts = [{"part_key": part, "artifact_key": artifact.key} for part in artifact.parts]
    for table, rows in ((schema.inputs, inputs), (schema.parts, parts)):
        if rows:
            connection.execute(table.insert(), rows)


def _fill(connection: sa.Connection, artifacts: Iterable[Artifact], tags: Mapping[str, str]) -> None:
    for table in (schema.inputs, schema.parts, schema.artifacts, schema.tags):
        connection.execute(table.delete())
    for artifact in artifacts:
        _put(connection, artifact)
    for name, key in tags.items():
        connection.execute(schema.tags.insert().values(name=name, key=key))


def _prepare(
    engine: sa.Engine, path: Path, artifacts: Callable[[], Iterable[Artifact]], tags: Callable[[], Mapping[str, str]]
) -> None:
    """Brings a database to this schema, filled from the disk if it is new or older."""
    with engine.begin() as connection:
        version = _version(connection, path)
    if version == schema.SCHEMA_VERSION:
        return
    use_wal(engine)
    with write_transaction(engine) as connection:
        if _version(connection, path) == schema.SCHEMA_VERSION:
            return  # another process was faster
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
        connection.execute(schema.meta.insert().values(name="schema_version", value=str(schema.SCHEMA_VERSION)))
        _fill(connection, artifacts(), tags())


def _version(connection: sa.Connection, path: Path) -> int | None:
    tables = sa.inspect(connection).get_table_names()
    if "meta" not in tables:
        if tables:
            raise IntegrityError(
                f"{path} is the database of something else", hint="rebuild it with `pasctl store reindex`"
            )
        return None
    text = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "schema_version")).scalar()
    version = int(text) if text and re.fullmatch("[0-9]{1,9}", text) else None
    if version is not None and version > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema {version}, this pasctl knows {schema.SCHEMA_VERSION}",
            hint="use a newer pasctl, or remove that file: the index is rebuilt from the artifacts",
        )
    return version
