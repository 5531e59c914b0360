from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from pasctl.store import Store, schema
from tests.store.conftest import lines
from tests.store.worker import build

pytestmark = pytest.mark.integration
Start = Callable[..., "subprocess.Popen[str]"]


def test_processes_that_commit_one_key_at_once_get_one_artifact(store: Store, start: Start) -> None:
    """Their bytes differ, so the test would see a mixture; no lease keeps them apart."""
    moment = time.time() + 2.0
    workers = [start("commit_at", store.root, moment, seed) for seed in range(4)]
    reports = [lines(worker)[0] for worker in workers]
    assert {report["name"] for report in reports} == {"activations/tiny/papi@v1"}
    (artifact,) = store.artifacts()
    assert {report["digest"] for report in reports} == {artifact.content_digest}
    assert len(set(artifact.read_tensors("head_outputs.safetensors")["x"])) == 1
    assert store.verify(deep=True) == []
    assert list((store.root / "staging").iterdir()) == []


def test_versions_are_handed_out_once(store: Store, start: Start) -> None:
    workers = [start("versions", store.root, first, 6) for first in (0, 6, 12)]
    versions = [report["version"] for worker in workers for report in lines(worker)]
    assert sorted(versions) == list(range(1, 19))
    assert store.verify(deep=True) == []


def test_processes_that_register_one_key_agree_on_its_version(store: Store, start: Start) -> None:
    workers = [start("versions", store.root, 0, 8) for _ in range(3)]
    found = [[(report["digest"], report["version"]) for report in lines(worker)] for worker in workers]
    assert found[0] == found[1] == found[2]
    assert sorted(version for _, version in found[0]) == list(range(1, 9))


def test_read_modify_write_transactions_never_fail_and_lose_nothing(store: Store, start: Start) -> None:
    build(store)
    workers = [start("count", store.root, 30) for _ in range(4)]
    assert all(lines(worker) == [{"done": True}] for worker in workers)
    with store.index.read() as connection:
        count = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "count")).scalar()
    assert count == "120"


def test_first_use_of_an_index_by_several_processes(store: Store, start: Start) -> None:
    build(store)
    for path in store.root.glob("index.sqlite*"):
        path.unlink()
    workers = [start("count", store.root, 1) for _ in range(4)]
    assert all(lines(worker) == [{"done": True}] for worker in workers)
    assert len(Store(store.root).artifacts()) == 1
