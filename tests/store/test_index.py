from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from pasctl.errors import IntegrityError, StoreError
from pasctl.store import Store, make_key, schema
from tests.store.worker import build, commit, document


@pytest.fixture
def filled(store: Store) -> Store:
    """Two versions, an input, parts and two tags."""
    source, _ = build(store)
    build(store, seed=1)
    staging = store.stage(make_key(document(2)))
    staging.write_json("x.json", 2)
    made = commit(staging, document(2), kind="probes", inputs={"activations": source}, parts=["p1", "p2"])
    store.tag(made, "good")
    store.tag(source, "first")
    return store


def answers(store: Store) -> object:
    """Everything that the index knows, through the store's own questions and as rows."""
    with store.index.read() as connection:
        names = ("artifacts", "inputs", "parts", "tags")
        rows = {name: sorted(map(tuple, connection.execute(schema.metadata.tables[name].select()))) for name in names}
    shown = [(artifact.name, artifact.key, artifact.created_at) for artifact in store.artifacts()]
    return shown, store.tags(), store.find_parts(["p1", "p2"]), store.consumers(store.resolve("first").key), rows


def drop(store: Store) -> None:
    for path in store.root.glob("index.sqlite*"):
        path.unlink()


def leave_log(store: Store) -> None:
    """Only the database's file is removed, and the write-ahead log of another database lies beside its name."""
    path = store.root / "index.sqlite"
    path.unlink()
    connection = sqlite3.connect(store.root / "other.sqlite")
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE alien (x); INSERT INTO alien VALUES (1);")
    (store.root / "index.sqlite-wal").write_bytes((store.root / "other.sqlite-wal").read_bytes())
    connection.close()


def overwrite(store: Store) -> None:
    (store.root / "index.sqlite").write_bytes(b"this is no database " * 500)


def damage(store: Store) -> None:
    data = bytearray((store.root / "index.sqlite").read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    (store.root / "index.sqlite").write_bytes(data)


def forget(store: Store) -> None:
    with store.index.write() as connection:
        connection.execute(schema.tags.delete())
        connection.execute(schema.artifacts.delete())
        connection.execute(schema.meta.update().values(value="1"))


@pytest.mark.parametrize("loss", [drop, leave_log, overwrite, damage, forget], ids=lambda loss: loss.__name__)
def test_reindex_gives_back_everything_from_the_disk_alone(filled: Store, loss: Callable[[Store], None]) -> None:
    before = answers(filled)
    loss(filled)
    fresh = Store(filled.root)
    counts = fresh.reindex()
    assert (counts.artifacts, counts.names, counts.tags, counts.broken) == (3, 2, 2, 0)
    assert answers(fresh) == before
    assert fresh.verify(deep=True) == []


def test_an_index_that_was_removed_comes_back_by_itself(filled: Store) -> None:
    before = answers(filled)
    drop(filled)
    assert answers(filled) == before  # the same object, which had it open
    drop(filled)
    assert answers(Store(filled.root)) == before


@pytest.mark.parametrize("loss", [overwrite, damage])
def test_an_index_that_is_no_database_is_named_with_the_way_out(filled: Store, loss: Callable[[Store], None]) -> None:
    loss(filled)
    with pytest.raises(IntegrityError, match=r"index\.sqlite is no usable index") as caught:
        Store(filled.root).artifacts()
    assert "pasctl store reindex" in (caught.value.hint or "")
    assert any(problem.file == "index.sqlite" for problem in Store(filled.root).verify())


def test_somebody_elses_database_is_not_touched(filled: Store) -> None:
    drop(filled)
    with sqlite3.connect(filled.root / "index.sqlite") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(IntegrityError, match="database of something else"):
        Store(filled.root).artifacts()


def test_a_newer_schema_is_left_alone(filled: Store) -> None:
    with filled.index.write() as connection:
        connection.execute(schema.meta.update().values(value=str(schema.SCHEMA_VERSION + 1)))
    for question in (lambda store: store.artifacts(), lambda store: store.reindex()):
        with pytest.raises(StoreError, match=f"schema {schema.SCHEMA_VERSION + 1}"):
            question(Store(filled.root))


def test_an_older_schema_is_rebuilt(filled: Store) -> None:
    before = answers(filled)
    with filled.index.write() as connection:
        connection.execute(schema.meta.update().values(value="0"))
        connection.execute(schema.parts.delete())
    assert answers(Store(filled.root)) == before


def test_a_row_that_was_never_written_is_added_by_the_next_lookup(filled: Store) -> None:
    before = answers(filled)
    with filled.index.write() as connection:
        connection.execute(schema.artifacts.delete())
    assert filled.artifacts() == []
    for seed in range(3):
        assert Store(filled.root).lookup(make_key(document(seed))) is not None
    assert answers(filled) == before


def test_reindex_gives_a_version_to_an_artifact_that_was_killed_before_it_had_one(filled: Store) -> None:
    (filled.root / "refs/names/probes/tiny/papi/v1").unlink()
    assert [problem.note for problem in filled.verify() if "no version" in problem.what] == [True]
    filled.reindex()
    assert filled.resolve("probes").version == 1
    assert filled.verify(deep=True) == []


def test_sqlite_is_set_up_as_designed(filled: Store) -> None:
    with filled.index.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "busy_timeout")
        }
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert pragmas == {"journal_mode": "wal", "busy_timeout": 30000}
    with pytest.raises(IntegrityError), filled.index.write() as connection:
        connection.execute(schema.parts.insert().values(part_key="p", artifact_key="s1:" + "0" * 64))


def test_a_writer_locks_before_it_reads(filled: Store) -> None:
    other = sqlite3.connect(filled.root / "index.sqlite", timeout=0, isolation_level=None)
    with filled.index.read():
        other.execute("BEGIN IMMEDIATE")  # a reader is in nobody's way
        other.execute("ROLLBACK")
    with filled.index.write() as connection:
        connection.execute(sa.select(schema.artifacts.c.key)).all()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=str)
def test_the_schema_is_postgresql_too(table: sa.Table) -> None:
    assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_the_index_is_only_written_inside_the_store(filled: Store, tmp_path: Path) -> None:
    assert {path.name for path in tmp_path.iterdir()} == {"artifacts"}
    assert {path.name.partition("-")[0] for path in filled.root.iterdir()} == {
        "objects",
        "staging",
        "refs",
        "index.sqlite",
    }
