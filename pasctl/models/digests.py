"""sha256 of model files, remembered between runs so that tens of gigabytes are not read again each time."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pasctl.errors import MissingError
from pasctl.json_file import read_json
from pasctl.text_file import expand_home

# A file changed this recently may change again without its times telling: its hash is not remembered.
RACY_SECONDS = 2.0
_DIGESTS: dict[tuple[str | int, ...], str] = {}  # by stamp: where the cache cannot be written, no file is read twice


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's contents; taken from the cache if path, size, times and inode are those of last time."""
    try:
        before = _stamp(path)
        seen = tuple(before.values())
        if seen in _DIGESTS:
            return _DIGESTS[seen]
        note = _cache_dir() / f"{hashlib.sha256(before['path'].encode()).hexdigest()[:32]}.json"
        known = _read_note(note)
        if known is not None and known.get("stamp") == before:
            return _DIGESTS.setdefault(seen, str(known["sha256"]))
        digest = _hash(path)
        unchanged = before == _stamp(path)
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    if unchanged and _is_settled(before):
        _write_note(note, {"stamp": before, "sha256": digest})
        _DIGESTS[seen] = digest
    return digest


def settled_stamp(path: Path) -> tuple[str | int, ...] | None:
    """What a file's contents can be remembered by in this process; None if it may change again without a sign.

    Raises:
        OSError: it cannot be looked at.
    """
    stamp = _stamp(path)
    return tuple(stamp.values()) if _is_settled(stamp) else None


def files_sha256(root: Path, files: Iterable[Path]) -> str:
    """One hex digest over the names (relative to `root`) and contents of files, in any order and wherever `root` is."""
    ordered = sorted(files)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:  # hashlib lets go of the GIL
        digests = list(pool.map(file_sha256, ordered))
    listing = [[path.relative_to(root).as_posix(), digest] for path, digest in zip(ordered, digests, strict=True)]
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


def _is_settled(stamp: Mapping[str, Any]) -> bool:
    return bool(time.time() - max(stamp["mtime_ns"], stamp["ctime_ns"]) / 1e9 >= RACY_SECONDS)


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(path: Path) -> dict[str, Any]:
    real = path.resolve(strict=True)
    stat = real.stat()
    return {
        "path": str(real),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }


def _cache_dir() -> Path:
    own = os.environ.get("PASCTL_CACHE")
    if own:
        return Path(own) / "digests"
    return expand_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pasctl" / "digests"


def _read_note(note: Path) -> Mapping[str, Any] | None:
    try:
        known = read_json(note)
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and isinstance(known.get("sha256"), str) else None


def _write_note(note: Path, content: Mapping[str, Any]) -> None:
    """Write the note whole or not at all; a cache that cannot be written only costs time."""
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=note.parent, prefix=".note-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            os.replace(name, note)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
