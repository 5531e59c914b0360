"""Filesystems without hard links or fsync: the same artifacts, and it is said once."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pasctl.errors import StoreError
from pasctl.store import Store, disk, make_key
from tests.store.worker import build, commit, document

NO_LINK = [errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOTSUP, errno.EMLINK]
NO_SYNC = [errno.ENOSYS, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOTSUP, errno.EBADF]
FAILING = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_limits", {})


def refuse_links(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def link(source: Any, target: Any) -> None:
        raise OSError(code, os.strerror(code), str(source), None, str(target))

    monkeypatch.setattr(os, "link", link)


def refuse_sync(monkeypatch: pytest.MonkeyPatch, code: int, *, files: bool = False, opening: bool = False) -> None:
    """fsync of folders fails, or of files, or a folder cannot even be opened."""
    real_sync, real_open = os.fsync, os.open

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is not files:
            raise OSError(code, os.strerror(code))
        real_sync(descriptor)

    def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path).is_dir():
            raise OSError(code, os.strerror(code), str(path))
        return real_open(path, flags, *more, **named)

    if opening:
        monkeypatch.setattr(os, "open", open_)
    else:
        monkeypatch.setattr(os, "fsync", fsync)


def everything(store: Store) -> list[str]:
    """All that is written with links: shards, versions, tags, and a file that is taken from another artifact."""
    first, second = build(store)[0], build(store, seed=1)[0]
    store.tag(first, "mine")
    staging = store.stage(make_key(document(7)))
    staging.adopt("items.json", first)
    third = commit(staging, document(7), kind="probes")
    assert [each.version for each in (first, second, third)] == [1, 2, 1]
    assert store.resolve("mine") == first
    assert store.verify(deep=True) == []
    assert not [path for path in store.root.rglob(f"{disk.TEMPORARY}*") if path.is_file()]
    return [each.content_digest for each in (first, second, third)]


@pytest.mark.parametrize("code", NO_LINK, ids=errno.errorcode.get)
def test_without_hard_links_files_are_copied(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    expected = everything(Store(store.root / "usual"))
    assert disk.unsaid_limits() == []
    refuse_links(monkeypatch, code)
    assert everything(store) == expected
    (said,) = disk.unsaid_limits()
    assert "hard links" in said
    build(store, seed=2)
    assert disk.unsaid_limits() == []


@pytest.mark.parametrize("code", NO_SYNC, ids=errno.errorcode.get)
@pytest.mark.parametrize("opening", [False, True])
def test_without_fsync_of_folders_it_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int, opening: bool
) -> None:
    expected = everything(Store(store.root / "usual"))
    refuse_sync(monkeypatch, code, opening=opening)
    assert everything(store) == expected
    (said,) = disk.unsaid_limits()
    assert "fsync" in said


def test_without_fsync_of_files_it_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_sync(monkeypatch, errno.EINVAL, files=True)
    everything(store)
    assert len(disk.unsaid_limits()) == 1


@pytest.mark.parametrize("code", FAILING, ids=errno.errorcode.get)
def test_a_disk_that_fails_is_not_taken_for_one_that_cannot(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        refuse_links(patch, code)
        with pytest.raises((StoreError, OSError)):
            build(store)
    with monkeypatch.context() as patch:
        refuse_sync(patch, code)
        with pytest.raises((StoreError, OSError)):
            build(store)
    assert disk.unsaid_limits() == []
    everything(store)


def test_a_place_that_may_not_be_written_is_not_taken_for_one_without_links(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links are refused with the errno that a folder without write permission gives; the copy then says so."""
    refuse_links(monkeypatch, errno.EACCES)
    real = Path.open

    def open_(self: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if "x" in mode and self.parent.name == "papi":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, mode, *more, **named)

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(StoreError, match="read-only"):
        build(store)
