"""Durable writes, and what a disk's errors mean.

A write is a temporary file in the same folder, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pasctl.errors import StoreError

TEMPORARY = ".tmp-"  # files and folders that begin so are unfinished writes; nobody reads them

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_OF_PATH = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE, errno.ENXIO),
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the disk's refusals into StoreError; other OSErrors (a missing file, say) pass through."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path, os.strerror(error.errno)) from error
        if error.errno in _READ_ONLY:
            raise read_only(path, os.strerror(error.errno)) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise StoreError(f"cannot write {path}: a file stands where a folder is needed") from error
        if error.errno == errno.EIO:
            raise StoreError(f"disk error at {path}: {os.strerror(error.errno)}") from error
        raise


def is_of_path(error: OSError) -> bool:
    """Whether an error says something of one path, and not of the process or the machine (no more open files, say)."""
    return error.errno in _OF_PATH


def unreadable(path: Path, error: OSError) -> StoreError:
    """The error for a file of the store that cannot be read.

    Raises:
        OSError: the error itself, if it is not the file's.
    """
    if not is_of_path(error):
        raise error
    return StoreError(
        f"cannot read {path}: {os.strerror(error.errno or 0)}",
        hint="look at the file's permissions and at the disk; nothing in the store was changed",
    )


def disk_full(path: Path, why: str) -> StoreError:
    """The error for a write that found no room."""
    hint = "nothing computed so far is lost: free some space and run the same command again"
    return StoreError(f"disk full while writing {path}: {why}", hint=hint)


def read_only(path: Path, why: str) -> StoreError:
    """The error for a write that is not allowed."""
    return StoreError(
        f"store is read-only: cannot write {path}: {why}",
        hint="give a store that you can write to with --store, or change the folder's permissions",
    )


def make_durable(path: Path) -> None:
    """Makes a file's content, or the names inside a folder, outlast a crash, where the system can do that."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    make_durable(folder.parent)


def temporary_path(folder: Path) -> Path:
    """A name in `folder` that no other process uses."""
    return folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Written:
    """A finished temporary file: where it is, its size in bytes, and the sha256 of what was handed to the system."""

    path: Path
    size: int
    sha256: str


def write_temporary(folder: Path, chunks: Iterable[bytes | memoryview]) -> Written:
    """Writes chunks to a new temporary file in `folder` and fsyncs it; it leaves nothing behind when it fails."""
    make_folder(folder)
    path = temporary_path(folder)
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("xb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return Written(path, size, digest.hexdigest())


def replace_file(path: Path, data: bytes) -> None:
    """Writes a whole file durably, over an older one if there is one."""
    written = write_temporary(path.parent, [data])
    written.path.replace(path)
    make_durable(path.parent)


def create_file(path: Path, data: bytes) -> bool:
    """Writes a whole file durably unless the name is taken: exactly one of several processes gets True.

    A hard link puts the name and the content there in one step. A filesystem without hard links gets O_EXCL and then
    the content, so a reader there may meet an empty file for a moment.
    """
    written = write_temporary(path.parent, [data])
    try:
        os.link(written.path, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in FULL | _READ_ONLY - {errno.EPERM}:  # EPERM: no hard links on this filesystem
            raise
        return _create_exclusively(path, data)
    finally:
        with contextlib.suppress(OSError):
            written.path.unlink()
    make_durable(path.parent)
    return True


def _create_exclusively(path: Path, data: bytes) -> bool:
    try:
        with path.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        return False
    make_durable(path.parent)
    return True
