"""Every call by which a stage changes the disk, killed once and refused once with each error."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pasctl.errors import PasctlError
from pasctl.store import Store
from pasctl.store.disk import TEMPORARY
from tests.store.conftest import lines
from tests.store.disk_calls import Disk, fail_at, refuse
from tests.store.light_stage import run

pytestmark = pytest.mark.integration
WORKER = Path(__file__).with_name("gc_worker.py")
Start = Callable[..., "subprocess.Popen[str]"]
ERRNOS = ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "EACCES", "EROFS", "ENAMETOOLONG", "ENOMEM")


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[str]:
    return [artifact.content_digest for artifact in run(Store(tmp_path / "undisturbed"))]


def test_the_stage_makes_every_kind_of_call(store: Store) -> None:
    before, seen = fail_at(-1, refuse(0))
    with Disk(store.root, before).watch():
        run(store)
    assert set(seen) == {"open", "write", "fsync", "rename", "replace", "link", "mkdir", "unlink", "rmdir"}


def test_killed_at_every_call(tmp_path: Path, start: Start, undisturbed: list[str]) -> None:
    records = lines(start("kill_commit", tmp_path / "runs", worker=WORKER))
    assert len(records) > 100
    assert [record["killed"] for record in records] == [True] * (len(records) - 1) + [False]
    for record in records:
        assert record["problems"] == [], record
        assert record["digests"] == undisturbed, record
        assert record["left"] == [], record


def chosen(calls: list[str]) -> list[tuple[int, str]]:
    """(call, errno): every call once, with each errno in turn, and more so that every kind of call gets every errno."""
    pairs = [(step, ERRNOS[step % len(ERRNOS)]) for step in range(1, len(calls) + 1)]
    covered = {(calls[step - 1], name) for step, name in pairs}
    for name in ERRNOS:
        for call in set(calls):
            if (call, name) not in covered:
                pairs.append((calls.index(call) + 1, name))
    return pairs


def test_every_call_refused(tmp_path: Path, undisturbed: list[str]) -> None:
    """What is refused is said, and leaves a store that is sound and goes on."""
    before, calls = fail_at(-1, refuse(0))
    with Disk(tmp_path / "counted", before).watch():
        run(Store(tmp_path / "counted"))
    assert len(calls) > 100
    for number, (step, name) in enumerate(chosen(calls)):
        store = Store(tmp_path / str(number))
        error: Exception | None = None
        try:
            with Disk(store.root, fail_at(step, refuse(getattr(errno, name)))[0]).watch():
                run(store)
        except (PasctlError, OSError) as caught:
            error = caught
        where = (step, calls[step - 1], name, error)
        assert [problem for problem in store.verify() if not problem.note] == [], where
        assert [artifact.content_digest for artifact in run(store)] == undisturbed, where
        assert store.verify(deep=True) == [], where
        left = [path for path in store.root.rglob("*") if path.is_file() and path.name.startswith(TEMPORARY)]
        assert left == [] or calls[step - 1] in ("unlink", "rmdir"), where
        assert not list(store.root.glob("staging/[0-9a-f]*")), where
