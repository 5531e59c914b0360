"""Room on the disk: what each part of a store takes, and what would be freed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import StoreError

if TYPE_CHECKING:
    from pasctl.store.store import Store

_Inode = tuple[int, int]
OTHERS = ("staging", "trash", "chats", "refs")
"""Folders of a store that are counted beside its artifacts."""


@dataclass
class Room:
    """What files take together.

    Attributes:
        bytes: sum of their sizes.
        shared: of those, bytes in files that stand in another artifact, or in unfinished work, as well.
    """

    count: int = 0
    bytes: int = 0
    shared: int = 0

    @property
    def own(self) -> int:
        """Bytes that removing them would free."""
        return self.bytes - self.shared


@dataclass(frozen=True)
class Usage:
    """What a store takes.

    Attributes:
        kinds: by kind of artifact.
        artifacts: by artifact: kind, hash and room, the largest first.
        others: by folder beside the artifacts, and "index".
        disk: bytes of all of it, where a file with several names counts once.
    """

    kinds: dict[str, Room] = field(default_factory=dict)
    artifacts: list[tuple[str, str, Room]] = field(default_factory=list)
    others: dict[str, Room] = field(default_factory=dict)
    disk: int = 0


def measure(store: Store) -> Usage:
    """What a store takes now; files that vanish meanwhile are left out."""
    owners: dict[_Inode, set[str]] = {}
    files: dict[str, list[tuple[_Inode, int]]] = {}
    for owner, folder in _folders(store):
        for inode, size in _files(folder):
            owners.setdefault(inode, set()).add(owner)
            files.setdefault(owner, []).append((inode, size))
    usage = Usage()
    for owner, entries in files.items():
        room = Room(1)
        for inode, size in entries:
            room.bytes += size
            room.shared += size if len(owners[inode]) > 1 else 0
        kind, _, hexes = owner.partition("/")
        if not hexes:
            usage.others[kind] = Room(len(entries), room.bytes, room.shared)
            continue
        usage.artifacts.append((kind, hexes, room))
        total = usage.kinds.setdefault(kind, Room())
        total.count, total.bytes, total.shared = (
            total.count + 1,
            total.bytes + room.bytes,
            total.shared + room.shared,
        )
    usage.artifacts.sort(key=lambda entry: (-entry[2].bytes, entry[1]))
    disk = sum({inode: size for entries in files.values() for inode, size in entries}.values())
    return Usage(usage.kinds, usage.artifacts, usage.others, disk)


def freed_bytes(paths: Iterable[Path]) -> int:
    """Bytes that the disk gets back when files and folders go: those of files that have no name elsewhere."""
    names: dict[_Inode, int] = {}
    status: dict[_Inode, os.stat_result] = {}
    for path in paths:
        for found in _walk(path):
            inode = (found.st_dev, found.st_ino)
            names[inode] = names.get(inode, 0) + 1
            status[inode] = found
    return sum(found.st_size for inode, found in status.items() if found.st_nlink <= names[inode])


def require_room(
    folder: Path, planned: int, begun: Path | None = None, fits: Callable[[int], str] = lambda room: ""
) -> None:
    """Refuses work that the disk has no room for.

    Args:
        folder: where it goes; the folder need not exist.
        planned: bytes that it takes when it is done.
        begun: what is there of it, which takes its room already; files that are linked are another artifact's.
        fits: says what would fit into so many bytes, for the hint.

    Raises:
        StoreError: fewer bytes are free than are missing.
    """
    place = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), None)
    if planned <= 0 or place is None:
        return
    written = sum(found.st_size for found in _walk(begun) if found.st_nlink == 1) if begun else 0
    needed, free = planned - written, shutil.disk_usage(place).free
    if needed > free:
        less = fits(free + written)
        raise StoreError(
            f"{folder} has {_size(free)} free, and this will write {_size(needed)}",
            hint=f"{less}{'; or ' * bool(less)}free some space, with `pasctl store gc` for example "
            "(`pasctl store du` says what takes it), or give another --store",
        )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _folders(store: Store) -> Iterator[tuple[str, Path]]:
    """(owner, folder or file): artifacts are owned by kind/hash, the rest by its folder's name."""
    for folder in sorted(store.objects.glob("*/*/*")):
        yield f"{folder.parent.parent.name}/{folder.name}", folder
    for name in OTHERS:
        yield name, store.root / name
    for path in sorted(store.root.glob("index.sqlite*")):
        yield "index", path


def _files(path: Path) -> Iterator[tuple[_Inode, int]]:
    for found in _walk(path):
        yield (found.st_dev, found.st_ino), found.st_size


def _walk(path: Path) -> Iterator[os.stat_result]:
    """The status of each file at or below a path; links to elsewhere are not followed."""
    paths = [path] if path.is_file() else (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    for inner in paths:
        try:
            yield inner.lstat()
        except OSError:
            continue
