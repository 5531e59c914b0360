"""The store: every result once, under the key of what it was made from.

Truth is on disk, below `root`:

    objects/<kind>/<k2>/<hash>/               manifest.json and the payload files; k2 is the hash's first two digits
    staging/<hash>/                           shards of unfinished work
    trash/                                    artifacts that are being deleted (see `pasctl.store.removal`)
    refs/names/<kind>/<model>/<label>/v<N>    a file that holds a key
    refs/tags/<tag>                           the same
    index.sqlite                              an index of all that
    chats/<model>/<label>.json                turns of a conversation that is not yet an artifact (see `pasctl.chat`)

<hash> is the 64 hex digits of a key.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import IntegrityError, MissingError, PasctlError, StoreError
from pasctl.store import keys as keys_module
from pasctl.store.artifact import Artifact
from pasctl.store.disk import disk_errors, make_durable, make_folder, temporary_path, write_temporary
from pasctl.store.inbox import Inbox
from pasctl.store.keys import KEY_PREFIX, Difference, is_key, key_hash
from pasctl.store.kinds import FRAMES, load
from pasctl.store.lineage import Lineage, trace
from pasctl.store.manifest import MANIFEST, now, read_manifest
from pasctl.store.parts import find_parts
from pasctl.store.refs import Name, Refs
from pasctl.store.registration import is_present, register, removed
from pasctl.store.reindex import Counts, reindex
from pasctl.store.resolve import resolve
from pasctl.store.staging import Staging
from pasctl.store.verify import Problem, verify

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.store.index import Index, Row
    from pasctl.store.leases import Holder


class Store:
    """One store. Creating the object touches nothing; the first write makes the folders."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.objects = self.root / "objects"
        self.refs = Refs(self.root / "refs")
        self._index: Index | None = None

    @property
    def index(self) -> Index:
        """The index, which brings SQLAlchemy with it and so waits until it is wanted."""
        if self._index is None:
            from pasctl.store.index import Index

            self._index = Index(self.root / "index.sqlite", self.readable, self.refs.tags)
        return self._index

    def lookup(self, key: str) -> Artifact | None:
        """The artifact of a key, or None. The disk decides, not the index.

        A commit that was killed after its artifact stood in place is finished here: version, index row.

        Raises:
            IntegrityError: there is an artifact whose manifest is damaged, or an index that is no database.
        """
        hexes = key_hash(key)
        for folder in self.objects.glob(f"*/{hexes[:2]}/{hexes}"):
            artifact = self._load(folder)
            if artifact is not None:
                return self._settled(artifact)
        return None

    def keys(self, prefix: str = "") -> list[str]:
        """The keys on disk, sorted, or those whose hex digits begin with `prefix`."""
        return sorted(KEY_PREFIX + folder.name for folder in self.folders() if folder.name.startswith(prefix))

    def folders(self) -> Iterator[Path]:
        """The folders of all objects that have a manifest, readable or not."""
        for manifest in self.objects.glob(f"*/*/*/{MANIFEST}"):
            yield manifest.parent

    def stage(self, key: str) -> Staging:
        """The unfinished work of a key, with what earlier runs left of it."""
        return Staging(key, self._staging(key), self._publish, self.lookup)

    def inbox(self, key: str) -> Inbox:
        """What has arrived so far of an artifact that another store has made."""
        return Inbox(key, self._staging(key), self._publish, self.lookup)

    def ensure_writable(self) -> None:
        """Raises StoreError unless a file can be written: better before a model is loaded than after."""
        folder = self.root / "staging"
        with disk_errors(folder):
            write_temporary(folder, [b"\0"]).path.unlink()

    @contextlib.contextmanager
    def lease(
        self,
        key: str,
        *,
        reads: Iterable[Artifact] = (),
        on_wait: Callable[[Holder], None] | None = None,
        until: Callable[[], Artifact | None] | None = None,
        timeout: float | None = None,
    ) -> Iterator[Artifact | None]:
        """Holds the work on a key for the `with` block. Yields None if it is ours to do, or the finished artifact.

        While another process is at it this waits, and takes over if that process dies. `until` is asked for the
        finished artifact; by default that is `lookup(key)`. Nobody removes `reads` from the store inside the block.

        Raises:
            MissingError: one of `reads` was removed before.
            BusyError: `timeout` seconds have passed and the holder still lives.
            StoreError: the store cannot be written.
        """
        from pasctl.store.leases import lease
        from pasctl.store.uses import using

        look = until if until is not None else lambda: self.lookup(key)
        if (done := look()) is not None:
            yield done
            return
        self.ensure_writable()
        with (
            lease(self.index, key, until=look, on_wait=on_wait, timeout=timeout) as found,
            using(self.index, key, reads) if found is None else contextlib.nullcontext(),
        ):
            yield found

    def resolve(self, ref: str, kind: str | None = None) -> Artifact:
        """The one artifact that a reference means; see `pasctl.store.resolve`."""
        return resolve(self, ref, kind)

    def ls(self, kind: str | None = None, model: str | None = None) -> pd.DataFrame:
        """The artifacts of a kind and model as a table, newest first."""
        import pandas as pd

        columns = ("name", "kind", "model", "label", "version", "stage", "key", "created_at", "size", "path")
        artifacts = self.artifacts(kind, model)
        return pd.DataFrame([[getattr(each, name) for name in columns] for each in artifacts], columns=list(columns))

    def artifacts(self, kind: str | None = None, model: str | None = None) -> list[Artifact]:
        """The artifacts of a kind and model, newest first; those with a damaged manifest are left to `verify`."""
        found = []
        for row in self.index.rows(kind, model):
            with contextlib.suppress(IntegrityError, StoreError):
                if artifact := self._of_row(row):
                    found.append(artifact)
        return found

    def candidates(self, kind: str | None = None, model: str | None = None) -> Iterator[Artifact]:
        """The artifacts of a kind and model, last made or touched first; a damaged manifest raises IntegrityError."""
        for row in self.index.rows(kind, model, by_use=True):
            if artifact := self._of_row(row):
                yield artifact

    def touch(self, artifact: Artifact) -> None:
        """Makes an artifact the latest of its kind, as if it had just been made.

        Somebody who runs a stage again and gets what was there already means that result with the next stage. A store
        that cannot be written, and an index rebuilt from the disk, know only when artifacts were made.
        """
        with contextlib.suppress(StoreError):
            self.index.touch(artifact.key, now())

    def find_parts(self, part_keys: Iterable[str], reader: str = "") -> dict[str, Artifact]:
        """For each part that some artifact holds, the newest such artifact; see `pasctl.store.parts`."""
        return find_parts(self.index, self._of_row, part_keys, reader)

    def tag(self, what: Artifact | str, name: str, *, force: bool = False) -> Artifact:
        """Gives an artifact, or what a reference means, a tag. `force` moves a tag that points elsewhere."""
        artifact = self.resolve(what) if isinstance(what, str) else what
        self.refs.set_tag(name, artifact.key, force=force)
        self.index.put_tag(name, artifact.key)
        if not is_present(artifact):  # a removal holds the index, and this one came first
            self.untag(name)
            raise removed(artifact)
        return artifact

    def untag(self, name: str) -> bool:
        """Takes a tag away, not what it names; whether there was one."""
        existed = self.refs.remove_tag(name)
        self.index.drop_tag(name)
        return existed

    def tags(self) -> dict[str, str]:
        """Key by tag."""
        return self.refs.tags()

    def lineage(self, artifact: Artifact) -> Lineage:
        """What an artifact was made from, back to the beginning."""
        return trace(artifact, self.lookup)

    def consumers(self, key: str) -> list[Artifact]:
        """The artifacts that were made from a key, newest first."""
        return [artifact for row in self.index.consumers(key) if (artifact := self._of_row(row))]

    def explain(self, ref_a: str, ref_b: str) -> list[Difference]:
        """Where the key documents of two artifacts differ."""
        return keys_module.explain(self.resolve(ref_a).document, self.resolve(ref_b).document)

    def verify(self, deep: bool = False) -> list[Problem]:
        """What is wrong with the store; see `pasctl.store.verify`."""
        return verify(self.objects, self.refs, self.index, deep=deep)

    def reindex(self) -> Counts:
        """Rebuilds the index from the disk; see `pasctl.store.reindex`."""
        return reindex(self.refs, self.index, self.readable, self.folders)

    @staticmethod
    def is_key(text: str) -> bool:
        """Whether a text is a whole key."""
        return is_key(text)

    def _staging(self, key: str) -> Path:
        return self.root / "staging" / key_hash(key)

    def _load(self, folder: Path) -> Artifact | None:
        """The artifact in a folder, with the version that it has on disk; None if there is none."""
        try:
            manifest = read_manifest(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        own = FRAMES.get(manifest["kind"])
        artifact = (load(own) if own else Artifact)(manifest["key"], manifest, folder)
        return replace(artifact, version=self.refs.version_of(Name.of(artifact), artifact.key))

    def readable(self) -> Iterator[Artifact]:
        """Every artifact on disk whose manifest can be read."""
        for folder in sorted(self.folders()):
            with contextlib.suppress(IntegrityError, StoreError):
                if artifact := self._load(folder):
                    yield artifact

    def _of_row(self, row: Row) -> Artifact | None:
        hexes = key_hash(row.key)
        return self._load(self.objects / row.kind / hexes[:2] / hexes)

    def _settled(self, artifact: Artifact) -> Artifact | None:
        """The artifact after its commit was finished, if it was not; a store that cannot be written stays as it is."""
        try:
            return artifact if self._is_settled(artifact) else self._register(artifact)
        except MissingError:
            return None
        except StoreError:
            return artifact

    def _is_settled(self, artifact: Artifact) -> bool:
        row = self.index.row(artifact.key)
        indexed = row is not None and (row.version, row.content_digest) == (artifact.version, artifact.content_digest)
        return indexed and artifact.version is not None and not self._staging(artifact.key).exists()

    def _register(self, artifact: Artifact) -> Artifact:
        """Everything of a commit that comes after the rename. Doing it again changes nothing."""
        versioned = register(self.refs, self.index, artifact)
        shutil.rmtree(self._staging(artifact.key), ignore_errors=True)
        return versioned

    def _publish(self, folder: Path, kind: str) -> Artifact:
        """Moves a complete artifact folder to its place; if another process was first, its artifact stays."""
        hexes = folder.parent.name
        place = self.objects / kind / hexes[:2] / hexes
        make_folder(place.parent)
        while True:
            try:
                folder.rename(place)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            if standing := self._load(place):
                return self._register(standing)
            # a folder without a manifest is the rest of one that somebody removed in part
            with contextlib.suppress(FileNotFoundError):
                place.rename(temporary_path(folder.parent))
        make_durable(place.parent)
        artifact = self._load(place)
        if artifact is None:
            raise PasctlError(f"{place} was removed while it was being committed")
        return self._register(artifact)
