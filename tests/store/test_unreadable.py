"""What cannot be read costs its own artifact, in one line; the machine's failures are not the file's."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pasctl.errors import IntegrityError, PasctlError, StoreError
from pasctl.store import Store
from tests.store.worker import build

OF_THE_FILE = [errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP]
OF_THE_MACHINE = [errno.EMFILE, errno.ENFILE, errno.ENOMEM]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, number: int, place: Path) -> Iterator[None]:
    """Opening or listing `place` fails."""
    opened, listed = Path.open, Path.iterdir

    def open_path(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == place:
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, *arguments, **options)

    def list_path(self: Path) -> Any:
        if self == place:
            raise OSError(number, os.strerror(number), str(self))
        return listed(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_path)
        patch.setattr(Path, "iterdir", list_path)
        yield


def two(store: Store) -> tuple[Any, Any]:
    return build(store, seed=1, label="one")[0], build(store, seed=2, label="two")[0]


@pytest.mark.parametrize("number", OF_THE_FILE, ids=errno.errorcode.get)
@pytest.mark.parametrize("what", ["manifest", "name", "names"])
def test_what_cannot_be_read_does_not_hide_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    one, other = two(store)
    names = store.root / "refs" / "names" / one.kind / one.model / one.label
    place = {"manifest": one.path / "manifest.json", "name": names / "v1", "names": names}[what]
    with failing(monkeypatch, number, place):
        assert other.name in [artifact.name for artifact in store.artifacts()]
        assert other.key in [artifact.key for artifact in store.readable()]
    with failing(monkeypatch, number, one.path / "manifest.json"):
        with pytest.raises(IntegrityError, match=os.strerror(number)):
            store.lookup(one.key)
        assert [p.file for p in store.verify() if not p.note and "manifest" in p.file] == ["manifest.json"]


@pytest.mark.parametrize("number", OF_THE_FILE, ids=errno.errorcode.get)
def test_a_payload_that_cannot_be_read_is_named(store: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    one, _ = two(store)
    name = one.files()[0]
    with failing(monkeypatch, number, one.path / name), pytest.raises(StoreError) as refused:
        one.open_path(name)
    assert str(one.path / name) in refused.value.message
    assert os.strerror(number) in refused.value.message


@pytest.mark.parametrize("number", OF_THE_MACHINE, ids=errno.errorcode.get)
def test_no_artifact_is_left_out_because_the_machine_has_no_more_files(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A list without an artifact that is whole would be wrong without a word."""
    one, _ = two(store)
    with failing(monkeypatch, number, one.path / "manifest.json"), pytest.raises(OSError, match=os.strerror(number)):
        store.artifacts()
    with failing(monkeypatch, number, one.path / "manifest.json"), pytest.raises((OSError, PasctlError)):
        store.lookup(one.key)
