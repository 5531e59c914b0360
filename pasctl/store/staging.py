"""Staging: the shards of unfinished work, which survive the process, and the commit that turns them into an artifact.

A shard's file name ends in the sha256 of its bytes: `parts/rows-0-32.safetensors.<64 hex>`. Name, content and digest so
appear in one rename, a damaged shard is found out, and two processes that stage the same work cannot mix their bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pasctl.errors import BusyError, IntegrityError, PasctlError
from pasctl.store import payload
from pasctl.store.artifact import Artifact
from pasctl.store.assembly import assemble
from pasctl.store.disk import TEMPORARY, disk_errors, link_or_copy, make_durable, make_folder, write_temporary
from pasctl.store.keys import file_digest, make_key
from pasctl.store.manifest import SCHEMA, check_file_name, check_word, digest_content, now

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SCRATCH = "parts/"
_Payload = TypeVar("_Payload")


class Staging:
    """The unfinished work of one key. Obtained from `Store.stage`; creates its folder with the first write."""

    def __init__(
        self,
        key: str,
        folder: Path,
        publish: Callable[[Path, str], Artifact],
        lookup: Callable[[str], Artifact | None],
    ) -> None:
        self.key = key
        self.folder = folder
        self._publish = publish
        self._lookup = lookup
        self._verified: set[Path] = set()
        self._staged: dict[str, list[Path]] | None = None

    def has(self, name: str) -> bool:
        """Whether a whole, undamaged shard of that name is there; a damaged one is removed."""
        return self._find(check_file_name(name)) is not None

    def names(self, prefix: str = "") -> list[str]:
        """The names of the staged shards, sorted, damaged ones included."""
        self._staged = self._scan()
        return sorted(name for name in self._staged if name.startswith(prefix))

    def write_json(self, name: str, value: Any) -> None:
        """Stages a JSON file."""
        self._write(name, ".json", [payload.encode_json(value)])

    def write_tensors(
        self, name: str, tensors: Mapping[str, payload.Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Stages a safetensors file."""
        self._write(name, ".safetensors", payload.encode_tensors(tensors, metadata))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Stages a pyarrow table as a Parquet file."""
        self._write(name, ".parquet", [payload.encode_table(table)])

    def adopt(self, name: str, source: Artifact) -> None:
        """Stages the file that another artifact has under the same name: a second name for its bytes, where links are.

        Raises:
            IntegrityError: that file is damaged.
            StoreError: the disk is full or read-only.
        """
        path = source.open_path(check_file_name(name))
        target = (self.folder / name).with_name(f"{path.name}.{source.digest_of(name)}")
        with disk_errors(target):
            make_folder(target.parent)
            with contextlib.suppress(FileExistsError):
                link_or_copy(path, target)
            make_durable(target.parent)
        self._listing()[name] = [target]

    def read_json(self, name: str) -> Any:
        """The value in a staged JSON file."""
        return self._read(name, payload.decode_json)

    def read_tensors(self, name: str, only: Iterable[str] | None = None) -> dict[str, payload.Tensor]:
        """The arrays in a staged safetensors file."""
        return self._read(name, lambda path: payload.decode_tensors(path, only))

    def read_arrays(self, name: str, only: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The same as plain numpy arrays: bfloat16 comes as the float32 of the same value."""
        return payload.as_arrays(self.read_tensors(name, only))

    def read_table(self, name: str) -> pa.Table:
        """The pyarrow table in a staged Parquet file."""
        return self._read(name, payload.decode_table)

    def path(self, name: str) -> Path:
        """Where a staged shard is, after its bytes have been checked."""
        return self._require(check_file_name(name))

    def commit(
        self,
        *,
        kind: str,
        stage: str,
        stage_version: int,
        model: str,
        label: str,
        document: Mapping[str, Any],
        inputs: Mapping[str, Artifact] | None = None,
        parts: Iterable[str] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Makes the staged files an artifact; names under `parts/` stay out of it.

        The files are linked into a folder of this process' own, the manifest is written last, and the folder is renamed
        to its place. A process killed on the way leaves the shards where they were, so the next one commits them again.
        When another process was first, its artifact is returned and this staging is dropped.

        Raises:
            ValueError: `document` does not have this staging's key, or nothing is staged.
            InputError: kind, model or label cannot be part of a name.
            StoreError: the disk is full or read-only.
        """
        for what, word in (("kind", kind), ("model", model), ("label", label)):
            check_word(what, word)
        if make_key(document) != self.key:
            raise ValueError(f"the document's key is {make_key(document)}, the staging's {self.key}")
        manifest = {
            "schema": SCHEMA,
            "key": self.key,
            "kind": kind,
            "stage": stage,
            "stage_version": stage_version,
            "model": model,
            "label": label,
            "document": dict(document),
            "inputs": {
                role: {"key": source.key, "content_digest": source.content_digest, "name": source.name}
                for role, source in (inputs or {}).items()
            },
            "parts": sorted(set(parts)),
            "provenance": dict(provenance or {}),
            "created_at": now(),
        }
        return self._place(kind, lambda: self._assemble(manifest))

    def _place(self, kind: str, assembled: Callable[[], Path]) -> Artifact:
        """Publishes the folder that `assembled` makes, unless another process was first."""
        while True:
            if done := self._lookup(self.key):
                self.discard()
                return done
            try:
                with disk_errors(self.folder):
                    return self._publish(assembled(), kind)
            except FileNotFoundError:
                # another process committed this key and cleared the folder under us: the next lookup finds it;
                # if it is not so, the next try names the shard that is gone
                continue

    def discard(self) -> None:
        """Removes what is staged."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._staged = None

    def _assemble(self, manifest: dict[str, Any]) -> Path:
        """A complete, durable artifact folder beside the shards, made of links to them."""
        sources = {name: self._require(name) for name in self.names() if not name.startswith(_SCRATCH)}
        if not sources:
            raise ValueError(f"nothing staged for {self.key}")
        files = [
            {"name": name, "size": source.stat().st_size, "sha256": source.name.rpartition(".")[2]}
            for name, source in sorted(sources.items())
        ]
        whole = manifest | {"files": files, "content_digest": digest_content(files)}
        return assemble(self.folder, sources, payload.encode_json(whole))

    def _write(self, name: str, suffix: str, chunks: Iterable[bytes | memoryview]) -> None:
        if not check_file_name(name).endswith(suffix):
            raise ValueError(f"{name}: expected a name that ends in {suffix}")
        final = self.folder / name
        with self._writing(final):
            written = write_temporary(final.parent, chunks)
            target = final.with_name(f"{final.name}.{written.sha256}")
            stale = [path for path in self._listing().get(name, []) if path != target]
            written.path.replace(target)
            for path in stale:
                path.unlink(missing_ok=True)
            make_durable(final.parent)
            self._verified.add(target)
            self._listing()[name] = [target]

    @contextlib.contextmanager
    def _writing(self, final: Path) -> Iterator[None]:
        """Writes of one shard: the folder may go away, as another process commits this key."""
        try:
            with disk_errors(final):
                yield
        except FileNotFoundError:  # commit() will return that artifact
            if self._lookup(self.key) is None:
                raise

    def _listing(self) -> dict[str, list[Path]]:
        """The staged files by name, as they were at the last look plus what was written here since."""
        if self._staged is None:
            self._staged = self._scan()
        return self._staged

    def _scan(self) -> dict[str, list[Path]]:
        """The staged files by name: one each, or two while two processes disagree about its bytes."""
        found: dict[str, list[Path]] = {}
        for folder, inner, files in os.walk(self.folder):
            inner[:] = [name for name in inner if not name.startswith(TEMPORARY)]
            for path in (Path(folder, name) for name in sorted(files) if not name.startswith(TEMPORARY)):
                found.setdefault(path.relative_to(self.folder).as_posix().rpartition(".")[0], []).append(path)
        return found

    def _find(self, name: str) -> Path | None:
        """The first undamaged file staged under a name. Damaged ones are removed on the way."""
        listed = self._listing().get(name, [])
        found = next(filter(self._is_whole, listed), None)
        if found is None and listed:  # gone since the last look: perhaps another process replaced it
            self._staged = self._scan()
            found = next(filter(self._is_whole, self._staged.get(name, [])), None)
        return found

    def _is_whole(self, path: Path) -> bool:
        if path in self._verified and path.is_file():
            return True
        try:
            whole = file_digest(path) == path.name.rpartition(".")[2]
        except FileNotFoundError:
            return False
        if whole:
            self._verified.add(path)
        else:
            with disk_errors(path):
                path.unlink(missing_ok=True)
        return whole

    def _require(self, name: str) -> Path:
        path = self._find(name)
        if path is None:
            raise self._gone(name)
        return path

    def _gone(self, name: str) -> PasctlError:
        """The error for a shard that is not there, or no longer."""
        if self._lookup(self.key):
            return BusyError(
                f"another process finished the same work ({self.key[:15]}) while this one was at it",
                hint="run the same command again: it is answered from the store",
            )
        return IntegrityError(
            f"staged shard {self.folder / name} is missing or damaged",
            hint="run the same command again: it computes what is missing",
        )

    def _read(self, name: str, decode: Callable[[Path], _Payload]) -> _Payload:
        try:
            return decode(self._require(check_file_name(name)))
        except FileNotFoundError as error:
            raise self._gone(name) from error
