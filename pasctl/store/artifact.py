"""The artifact: a committed result, which reads its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pasctl.errors import IntegrityError
from pasctl.store import payload
from pasctl.store.disk import unreadable
from pasctl.store.keys import file_digest, key_hash
from pasctl.store.manifest import REPAIR_HINT
from pasctl.store.notebook import Viewable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_Payload = TypeVar("_Payload")


@dataclass(frozen=True)
class InputRef:
    """An input as an artifact's manifest names it: key, content digest, and the name it had then."""

    key: str
    content_digest: str
    name: str


@dataclass(frozen=True)
class Artifact(Viewable):
    """A committed result. Equal and hashable by key.

    Each payload file's sha256 is checked against the manifest before this object reads it the first time.
    """

    key: str
    manifest: dict[str, Any] = field(compare=False, repr=False)
    path: Path = field(compare=False)
    version: int | None = field(compare=False, default=None)
    _verified: set[str] = field(compare=False, repr=False, default_factory=set)

    @property
    def kind(self) -> str:
        """What it holds: activations, probes, directions, results, memory."""
        return str(self.manifest["kind"])

    @property
    def stage(self) -> str:
        """The stage that made it."""
        return str(self.manifest["stage"])

    @property
    def stage_version(self) -> int:
        """The hand-bumped version of that stage."""
        return int(self.manifest["stage_version"])

    @property
    def model(self) -> str:
        """The model's short name, or `none`."""
        return str(self.manifest["model"])

    @property
    def label(self) -> str:
        """The last part of its name."""
        return str(self.manifest["label"])

    @property
    def name(self) -> str:
        """`kind/model/label@vN`; without `@vN` while it has no version yet."""
        base = f"{self.kind}/{self.model}/{self.label}"
        return base if self.version is None else f"{base}@v{self.version}"

    @property
    def short_key(self) -> str:
        """The first 12 hex digits of the key."""
        return key_hash(self.key)[:12]

    @property
    def content_digest(self) -> str:
        """The sha256 over its files' names, sizes and digests; downstream keys are made from it."""
        return str(self.manifest["content_digest"])

    @property
    def document(self) -> dict[str, Any]:
        """The key document: everything that the key was made from."""
        return dict(self.manifest["document"])

    @property
    def params(self) -> dict[str, Any]:
        """The `params` of the key document."""
        return dict(self.document.get("params") or {})

    @property
    def inputs(self) -> dict[str, InputRef]:
        """What it was made from, by role."""
        return {
            role: InputRef(entry["key"], entry["content_digest"], str(entry.get("name", "")))
            for role, entry in self.manifest["inputs"].items()
        }

    @property
    def parts(self) -> list[str]:
        """The keys of the parts that it holds."""
        return list(self.manifest["parts"])

    @property
    def provenance(self) -> dict[str, Any]:
        """How it came about: host, device, batch size, versions, counts, seconds. No part of the key."""
        return dict(self.manifest["provenance"])

    @property
    def created_at(self) -> str:
        """When it was committed, ISO 8601 in UTC."""
        return str(self.manifest["created_at"])

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return sum(int(entry["size"]) for entry in self.manifest["files"])

    def files(self, prefix: str = "") -> list[str]:
        """The payload files' names, sorted, or those that begin with `prefix`."""
        return sorted(entry["name"] for entry in self.manifest["files"] if entry["name"].startswith(prefix))

    def digest_of(self, name: str) -> str:
        """The sha256 that a payload file was committed with.

        Raises:
            IntegrityError: the artifact has no such file.
        """
        entry = next((entry for entry in self.manifest["files"] if entry["name"] == name), None)
        if entry is None:
            raise IntegrityError(f"{self.name}: no file {name} (has {', '.join(self.files()) or 'none'})")
        return str(entry["sha256"])

    def open_path(self, name: str) -> Path:
        """A payload file's path, after its bytes have been checked.

        Raises:
            IntegrityError: the artifact has no such file, it is gone, or its bytes are not those that were committed.
            StoreError: it cannot be read.
        """
        expected, path = self.digest_of(name), self.path / name
        if name not in self._verified:
            try:
                found = file_digest(path) if path.is_file() else "no file"
            except OSError as error:
                raise unreadable(path, error) from error
            if found != expected:
                raise IntegrityError(
                    f"{self.name}: {name} is damaged: expected sha256 {expected}, found {found}",
                    hint=f"{REPAIR_HINT} (the folder is {self.path})",
                )
            self._verified.add(name)
        return path

    def read_json(self, name: str) -> Any:
        """The value in a JSON file of the payload."""
        return self._read(name, payload.decode_json)

    def read_tensors(self, name: str, only: Iterable[str] | None = None) -> dict[str, payload.Tensor]:
        """The arrays in a safetensors file of the payload, all or those named in `only`."""
        return self._read(name, lambda path: payload.decode_tensors(path, only))

    def read_arrays(self, name: str, only: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The same as plain numpy arrays: bfloat16 comes as the float32 of the same value."""
        return payload.as_arrays(self.read_tensors(name, only))

    def read_table(self, name: str) -> pa.Table:
        """The pyarrow table in a Parquet file of the payload."""
        return self._read(name, payload.decode_table)

    def _read(self, name: str, decode: Callable[[Path], _Payload]) -> _Payload:
        try:
            return decode(self.open_path(name))
        except payload.FormatError as error:
            raise IntegrityError(f"{self.name}: {name}: {error}", hint=REPAIR_HINT) from error
