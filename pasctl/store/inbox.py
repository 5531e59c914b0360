"""The inbox: files of an artifact that another store has made, on their way into this one.

They are staged below `parts/`, which no stage takes into its own artifact, each under the digest that its manifest
gives it; so they wait for the process that takes them up again, and are dropped with the other shards of their key.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pasctl.store.artifact import Artifact
from pasctl.store.assembly import assemble
from pasctl.store.disk import disk_errors, link_or_copy, make_durable, make_folder, write_temporary
from pasctl.store.staging import Staging

_RECEIVED = "parts/received"

Entry = Mapping[str, Any]
"""A file as a manifest has it: {name, size, sha256}."""


class Inbox(Staging):
    """The arriving files of one key. Obtained from `Store.inbox`."""

    def holds(self, entry: Entry) -> bool:
        """Whether a file is there, whole and undamaged; a damaged one is removed."""
        return self._is_whole(self.place(entry))

    def receive(self, entry: Entry, chunks: Iterable[bytes]) -> None:
        """Stages a file, if its bytes are what its entry says.

        Raises:
            ValueError: there are more bytes, or fewer, or others; nothing is staged then.
            StoreError: the disk is full or read-only.
        """
        target = self.place(entry)
        with self._writing(target):
            written = write_temporary(target.parent, _exactly(entry["size"], chunks))
            if written.sha256 != entry["sha256"]:
                written.path.unlink()
                raise ValueError(f"expected sha256 {entry['sha256']}, found {written.sha256}")
            written.path.replace(target)
            make_durable(target.parent)
            self._verified.add(target)

    def link(self, entry: Entry, source: Path) -> None:
        """Stages a file that stands elsewhere in the store: a second name for its bytes, where links are.

        Raises:
            FileNotFoundError: it is not there, or the folder went away.
            StoreError: the disk is full or read-only.
        """
        target = self.place(entry)
        with disk_errors(target):
            make_folder(target.parent)
            with contextlib.suppress(FileExistsError):
                link_or_copy(source, target)

    def commit_received(self, kind: str, files: Iterable[Entry], manifest: bytes) -> Artifact:
        """Makes the staged files an artifact, as `Staging.commit` does.

        Args:
            kind: of the artifact.
            files: all its files.
            manifest: the bytes of its manifest, which has been checked.
        """
        entries = list(files)
        return self._place(kind, lambda: assemble(self.folder, {e["name"]: self._whole(e) for e in entries}, manifest))

    def drop(self) -> None:
        """Removes what has arrived; shards of a stage stay."""
        shutil.rmtree(self.folder / _RECEIVED, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty, or not there
            (self.folder / _RECEIVED).parent.rmdir()
            self.folder.rmdir()

    def place(self, entry: Entry) -> Path:
        """Where a file stands when it has arrived."""
        return self.folder / _RECEIVED / f"{entry['name']}.{entry['sha256']}"

    def _whole(self, entry: Entry) -> Path:
        path = self.place(entry)
        if self._is_whole(path):
            return path
        if self._lookup(self.key):  # another process was first, and dropped what had arrived
            raise FileNotFoundError(path)
        raise self._gone(path.relative_to(self.folder).as_posix())


def _exactly(size: int, chunks: Iterable[bytes]) -> Iterable[bytes]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        if count > size:
            raise ValueError(f"expected {size} bytes, found more")
        yield chunk
    if count < size:
        raise ValueError(f"expected {size} bytes, found {count}")
