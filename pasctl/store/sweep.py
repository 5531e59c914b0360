"""What processes that ended early have left in a store: temporary files, and unfinished work that nobody takes up."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pasctl.errors import StoreError
from pasctl.store.disk import TEMPORARY, replace_file, unique_suffix, write_temporary
from pasctl.store.keys import KEY_PREFIX
from pasctl.store.processes import realm_tag, runs
from pasctl.store.usage import freed_bytes

ABANDONED_SECONDS = 30 * 86400.0
"""After so long without a change unfinished work counts as abandoned, and no process still writes a temporary file."""

EXPORTS = "exports"
"""Folder of notes, one for each export that runs: what it writes stands outside the store, where nobody else looks."""

_SUFFIX = r"(?P<pid>[0-9]{1,10})-((?P<realm>[0-9a-f]{8})-)?[0-9a-f]{16}"
_WRITER = re.compile(rf"{re.escape(TEMPORARY)}{_SUFFIX}(-wal|-shm)?")
_HASH = re.compile(r"[0-9a-f]{64}")
_NOTE = re.compile(_SUFFIX)
_SWEPT = ("staging", "refs", "chats", EXPORTS)


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nobody will take up, what it is, and the bytes that the disk gets back without it."""

    path: Path
    what: str
    bytes: int


def temporaries(root: Path, now: float, grace: float) -> Iterator[Leftover]:
    """Temporary files and folders whose process has ended.

    A process of this machine is asked after. One of another machine has ended when it has not touched them for `grace`
    seconds: a temporary file is written in one go.

    Args:
        root: the store's folder.
        now: the time by the clock that stamps files there.
        grace: in seconds.
    """
    for path in _temporary_paths(root):
        if (match := _WRITER.fullmatch(path.name)) and _has_ended(path, match, now, grace):
            yield Leftover(path, f"temporary file of process {match['pid']}, which has ended", freed_bytes([path]))


@contextmanager
def noted_export(root: Path, place: Path) -> Iterator[None]:
    """While the block runs the store knows that an export to a file or folder writes beside it.

    A process that is killed leaves the note, and `unfinished_exports` is told of its place by `noted_places`. A store
    that cannot be written gets none.
    """
    note = root / EXPORTS / unique_suffix()
    with suppress(OSError):
        replace_file(note, os.fsencode(place.absolute()))
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()


def noted_places(root: Path) -> list[Path]:
    """The places of exports that run, or were killed."""
    places = []
    for note, _ in _notes(root):
        with suppress(OSError):
            places.append(Path(os.fsdecode(note.read_bytes())))
    return places


def ended_notes(root: Path, now: float, grace: float) -> Iterator[Leftover]:
    """Notes of exports whose process has ended."""
    for note, match in _notes(root):
        if _has_ended(note, match, now, grace):
            what = f"note of an export of process {match['pid']}, which has ended"
            yield Leftover(note, what, freed_bytes([note]))


def unfinished_exports(place: Path, now: float, grace: float) -> Iterator[Leftover]:
    """What exports to a file or folder have left beside it whose process has ended.

    An earlier export that was moved aside is left over only where one stands again.
    """
    named = re.compile(rf"(\.{re.escape(place.name)}\.(?P<what>partial|replaced)-|{re.escape(TEMPORARY)}){_SUFFIX}")
    try:
        stands = place.is_dir() and any(place.iterdir())
        beside = sorted(place.parent.iterdir())
    except (OSError, ValueError):  # not here any more, of another machine, or not ours to look at
        return
    for path in beside:
        match = named.fullmatch(path.name)
        if match and (stands or match["what"] != "replaced") and _has_ended(path, match, now, grace):
            yield Leftover(path, f"unfinished export of process {match['pid']}, which has ended", freed_bytes([path]))


def _notes(root: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    folder = root / EXPORTS
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _NOTE.fullmatch(path.name):
            yield path, match


def _has_ended(path: Path, match: re.Match[str], now: float, grace: float) -> bool:
    """Whether the process that a file or folder is named after writes it no more."""
    idle, here = now - _last_change(path), match["realm"] == realm_tag()
    lives = (here or match["realm"] is None) and runs(int(match["pid"]))
    return idle > ABANDONED_SECONDS if lives else here or idle > grace


def abandoned(root: Path, present: Set[str], written: Set[str], before: float) -> Iterator[Leftover]:
    """Unfinished work on which no process is: of artifacts that are finished, and untouched since `before`.

    Args:
        root: the store's folder.
        present: keys of finished artifacts.
        written: keys that running work writes.
        before: a time by the clock that stamps files there.
    """
    folder = root / "staging"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        key = KEY_PREFIX + path.name
        if not _HASH.fullmatch(path.name) or key in written:
            continue
        if key in present:
            yield Leftover(path, "parts of an artifact that is finished", freed_bytes([path]))
        elif _last_change(path) < before:
            yield Leftover(path, "unfinished work that nobody took up", freed_bytes([path]))


def disk_time(folder: Path, *, touch: bool) -> float:
    """The time by the clock that stamps files in a folder, which may be another machine's; our own without `touch`."""
    if not touch:
        return time.time()
    try:
        written = write_temporary(folder, [b"\0"])
        stamp = written.path.stat().st_mtime
        written.path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from error
    return stamp


def _temporary_paths(root: Path) -> Iterator[Path]:
    yield from sorted(path for path in root.iterdir() if path.name.startswith(TEMPORARY))
    for name in _SWEPT:
        for folder, inner, files in os.walk(root / name):
            for each in sorted([*inner, *files]):
                if each.startswith(TEMPORARY):
                    yield Path(folder, each)
            inner[:] = [each for each in inner if not each.startswith(TEMPORARY)]


def _last_change(path: Path) -> float:
    """When anything at or below a path last changed; a path that is gone has just changed."""
    latest = 0.0
    try:
        latest = path.lstat().st_mtime
        for folder, inner, files in os.walk(path):
            latest = max([latest, *(Path(folder, each).lstat().st_mtime for each in (*inner, *files))])
    except OSError:
        return time.time()
    return latest
