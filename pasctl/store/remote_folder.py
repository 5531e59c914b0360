"""A remote that is a folder: on another disk, or shared over a network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pasctl.errors import RemoteError, StoreError
from pasctl.store.disk import TEMPORARY, disk_errors, link_or_copy, make_durable, make_folder, write_temporary
from pasctl.store.parcel import CHUNK
from pasctl.store.remote import STAGING, Remote, nowhere, remote_errors


class FolderRemote(Remote):
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder

    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of a file."""
        with remote_errors(self.url, path), (self.folder / path).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    def names(self, folder: str) -> list[str]:
        """The names in a folder."""
        with remote_errors(self.url, folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = (path.name for path in (self.folder / folder).iterdir())
            return sorted(name for name in names if not name.startswith(TEMPORARY))
        return []

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes by path below a folder."""
        found: dict[str, int] = {}
        root = self.folder / folder
        with remote_errors(self.url, folder):
            for inner, _, files in os.walk(root):
                for path in (Path(inner, name) for name in files if not name.startswith(TEMPORARY)):
                    with contextlib.suppress(FileNotFoundError):
                        found[path.relative_to(root).as_posix()] = path.stat().st_size
        return found

    def put(self, path: str, local: Path) -> bool:
        """Copies a file."""
        with local.open("rb") as stream:
            return self._write(path, iter(lambda: stream.read(CHUNK), b""))

    def create(self, path: str, data: bytes) -> bool:
        """Writes a small file."""
        return self._write(path, [data])

    def _write(self, path: str, chunks: Iterable[bytes]) -> bool:
        target = self.folder / path
        if target.exists():
            return False
        try:
            with remote_errors(self.url, path), disk_errors(target):
                return self._create(target, chunks)
        except StoreError as error:
            raise RemoteError(
                f"remote {self.url}: {error.message}", hint="free some space there, or change its permissions"
            ) from error

    def _create(self, target: Path, chunks: Iterable[bytes]) -> bool:
        written = write_temporary(self.folder / STAGING, chunks)  # where `store gc` of that folder looks
        try:
            make_folder(target.parent)
            link_or_copy(written.path, target)
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(OSError):
                written.path.unlink()
        make_durable(target.parent)
        return True

    def require(self, *, writing: bool = False) -> None:
        """The folder is there; to write, the one that it is to be made in, and not the way to an absent disk."""
        if writing and self.folder.absolute().parent.is_dir() and not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise nowhere(self.url)
        if not os.access(self.folder, os.R_OK | os.X_OK):
            raise RemoteError(f"remote {self.url} cannot be read", hint="look at the folder's permissions")
