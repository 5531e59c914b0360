"""The calls by which a store changes a disk: seen one by one, failed, recorded, or lost as a power cut loses them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

Before = Callable[[str, Callable[[], None]], None]
"""Called with a call's name before it; the second argument does half of it, where a call can be half done."""


class Disk:
    """Stands between the code and the system while `watch` is entered.

    Attributes:
        log: what was done below `root`, if it is recorded.
    """

    def __init__(self, root: Path, before: Before = lambda name, half: None, *, links: bool = True) -> None:
        self.root, self._before, self._links = root, before, links
        self.log: list[Op] = []
        self._ids: dict[tuple[int, int], int] = {}
        self._next = 0

    @contextlib.contextmanager
    def watch(self) -> Iterator[Disk]:
        """Watch the calls of the `with` block."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._new(os.stat(self.root))
        with contextlib.ExitStack() as stack:
            for name in ("fsync", "rename", "replace", "link", "mkdir", "unlink", "rmdir"):
                stack.enter_context(mock.patch.object(os, name, self._wrapped(name, getattr(os, name))))
            stack.enter_context(mock.patch.object(Path, "open", self._open(Path.open)))
            stack.enter_context(mock.patch.object(shutil, "copyfile", self._copy))
            yield self

    def mark(self, what: str, **about: Any) -> None:
        """Record that the code has promised something, which from here on must outlast a power cut."""
        self.log.append(Op("mark", about={"what": what, **about}))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self._before(name, lambda: None)
            if name == "link" and not self._links:
                raise PermissionError(1, "Operation not permitted")
            target = arguments[0] if name == "fsync" else None
            entries = () if name == "fsync" else self._entries(name, arguments, more)
            result = real(*arguments, **more)
            if target is not None:
                self._record_sync(target)
            elif all(entry is not None for entry in entries):
                self._record_entry(name, entries, arguments, more)
            return result

        return call

    def _entries(self, name: str, arguments: tuple[Any, ...], more: dict[str, Any]) -> tuple[Entry | None, ...]:
        paths = arguments[:2] if name in ("rename", "replace", "link") else arguments[:1]
        return tuple(self._entry(path, more.get("dir_fd")) for path in paths)

    def _entry(self, path: Any, dir_fd: int | None) -> Entry | None:
        """The folder and the name of a path, None for one outside the root."""
        path = Path(path)
        with contextlib.suppress(OSError):
            status = os.fstat(dir_fd) if dir_fd is not None else os.stat(path.parent)
            folder = self._ids.get((status.st_dev, status.st_ino))
            return None if folder is None else (folder, path.name)
        return None

    def _record_entry(self, name: str, entries: Any, arguments: tuple[Any, ...], more: dict[str, Any]) -> None:
        if name in ("unlink", "rmdir"):
            self.log.append(Op("remove", entries=entries))
            return
        status = os.stat(arguments[-1] if name in ("rename", "replace", "link") else arguments[0])
        made = self._new(status) if name == "mkdir" else self._ids[status.st_dev, status.st_ino]
        kind = {"mkdir": "mkdir", "link": "link"}.get(name, "rename")
        self.log.append(Op(kind, entries=entries, target=made))

    def _record_sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        target = self._ids.get((status.st_dev, status.st_ino))
        if target is not None:
            self.log.append(Op("sync folder" if stat.S_ISDIR(status.st_mode) else "sync", target=target))

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if not set(mode) & set("wxa"):
                return real(path, mode, *arguments, **more)
            self._before("open", lambda: None)
            stream = real(path, mode, *arguments, **more)
            return _Stream(self, stream, self._record_create(path))

        return opened

    def _record_create(self, path: Path) -> int | None:
        entry = self._entry(path, None)
        if entry is None:
            return None
        made = self._new(os.stat(path))
        self.log.append(Op("create", entries=(entry,), target=made))
        return made

    def _copy(self, source: Path, target: Path) -> None:
        with target.open("wb") as stream:
            stream.write(source.read_bytes())

    def _new(self, status: os.stat_result) -> int:
        self._next += 1
        self._ids[status.st_dev, status.st_ino] = self._next
        return self._next


class _Stream:
    """A file that is being written."""

    def __init__(self, disk: Disk, stream: Any, target: int | None) -> None:
        self._disk, self._stream, self._target = disk, stream, target

    def write(self, data: Any) -> int:
        data = bytes(data)

        def half() -> None:
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()

        self._disk._before("write", half)
        if self._target is not None:
            self._disk.log.append(Op("write", target=self._target, data=data))
        return int(self._stream.write(data))

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_about: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


Entry = tuple[int, str]
"""A folder and a name in it."""


@dataclass(frozen=True)
class Op:
    """One change of a disk: of names, of a file's content, a sync, or a mark."""

    kind: str
    entries: tuple[Entry, ...] = ()
    target: int = 0
    data: bytes = b""
    about: dict[str, Any] = field(default_factory=dict)


ROOT = 1
Keep = Callable[[int], bool]
"""Whether a change of names that no sync has made durable is there after all, by its place in the log."""


@dataclass
class _File:
    content: bytes = b""
    synced: bytes = b""


def after_power_cut(log: list[Op], keep: Keep, data: str) -> dict[str, bytes | None]:
    """What a disk holds when the power goes behind the last call of a log.

    A change of names is there if its folder was synced after it, or if `keep` says so. Content written after the last
    sync of a file is lost (`data` "lost"), there by half ("cut") or there ("there").

    Returns:
        Content by path, None for folders.
    """
    durable = _durable(log)
    names: dict[int, dict[str, int]] = {ROOT: {}}
    files: dict[int, _File] = {}
    for place, op in enumerate(log):
        if op.kind == "write":
            files[op.target].content += op.data
        elif op.kind == "sync":
            files[op.target].synced = files[op.target].content
        if op.kind == "create":
            files[op.target] = _File()
        elif op.kind == "mkdir":
            names[op.target] = {}
        if op.entries and (place in durable or keep(place)):
            _apply(names, op)
    tree: dict[str, bytes | None] = {}
    _walk(names, files, ROOT, "", data, tree)
    return tree


def _durable(log: list[Op]) -> set[int]:
    """The changes of names that a later sync of their folder has made durable."""
    pending: dict[int, list[int]] = {}
    durable: set[int] = set()
    for place, op in enumerate(log):
        if op.entries:
            pending.setdefault(op.entries[-1][0], []).append(place)
        elif op.kind == "sync folder":
            durable.update(pending.pop(op.target, []))
    return durable


def _apply(names: dict[int, dict[str, int]], op: Op) -> None:
    if op.kind in ("remove", "rename"):
        folder, name = op.entries[0]
        names[folder].pop(name, None)
    if op.kind != "remove":
        folder, name = op.entries[-1]
        names[folder][name] = op.target


def _walk(
    names: dict[int, dict[str, int]],
    files: dict[int, _File],
    folder: int,
    path: str,
    data: str,
    tree: dict[str, bytes | None],
) -> None:
    for name, target in names[folder].items():
        inner = f"{path}{name}"
        if target in names:
            tree[inner] = None
            _walk(names, files, target, f"{inner}/", data, tree)
        else:
            file = files[target]
            lost = len(file.content) - len(file.synced)
            kept = {"lost": 0, "cut": lost // 2, "there": lost}[data]
            tree[inner] = file.content[: len(file.synced) + kept]


def write_tree(tree: dict[str, bytes | None], root: Path) -> None:
    """Make the files of a disk."""
    root.mkdir(parents=True)
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_bytes(content)


def fail_at(step: int, fail: Callable[[Callable[[], None]], None]) -> tuple[Before, list[str]]:
    """Calls `fail` at the n-th call, and the names of the calls seen."""
    seen: list[str] = []

    def before(name: str, half: Callable[[], None]) -> None:
        seen.append(name)
        if len(seen) == step:
            fail(half)

    return before, seen


def refuse(code: int) -> Callable[[Callable[[], None]], None]:
    """Fails a call with an errno; a write is half done."""

    def fail(half: Callable[[], None]) -> NoReturn:
        half()
        raise OSError(code, os.strerror(code))

    return fail


def end(half: Callable[[], None]) -> NoReturn:
    """Kills the process at a call; a write is half done."""
    half()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")
