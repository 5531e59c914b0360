"""Manifests, which say what an artifact is and what its files hold, and the artifact that reads them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pasctl.errors import InputError, IntegrityError
from pasctl.store import payload
from pasctl.store.keys import canonical_json, file_digest, is_key, key_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

SCHEMA = "pasctl-manifest/1"
MANIFEST = "manifest.json"
SUFFIXES = (".safetensors", ".json", ".parquet")
REPAIR_HINT = (
    "see what else is damaged with `pasctl store verify --deep`; "
    "then remove the artifact's folder and run its stage again"
)

_WORD = re.compile(r"[a-z0-9][a-z0-9._+-]{0,99}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@-]{0,150}(/[A-Za-z0-9_][A-Za-z0-9_.+=,@-]{0,150})*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS: dict[str, type] = {
    "key": str,
    "kind": str,
    "stage": str,
    "stage_version": int,
    "model": str,
    "label": str,
    "document": dict,
    "content_digest": str,
    "files": list,
    "inputs": dict,
    "parts": list,
    "provenance": dict,
    "created_at": str,
}
_Payload = TypeVar("_Payload")


def now() -> str:
    """The time in UTC as manifests and the index have it; as text it sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def check_word(what: str, word: str) -> str:
    """A kind, model or label as it may stand in a name and as a folder; InputError for anything else."""
    if not _WORD.fullmatch(word) or word.endswith("."):
        raise InputError(
            f"{what} {word!r} cannot be part of an artifact's name: expected lower-case letters, digits and . _ + -",
            hint="the name becomes a folder: use at most 100 of these signs and begin with a letter or digit",
        )
    return word


def check_file_name(name: str) -> str:
    """A payload file's name inside its artifact; ValueError for one that leaves the folder or has no known format."""
    if not _FILE.fullmatch(name) or not name.endswith(SUFFIXES) or name == MANIFEST:
        raise ValueError(
            f"not a payload file name: {name!r} (expected a relative path ending in {', '.join(SUFFIXES)})"
        )
    return name


def digest_content(files: Iterable[Mapping[str, Any]]) -> str:
    """The content digest: sha256 of the canonical JSON of the sorted [name, size, sha256] of an artifact's files."""
    rows = sorted([entry["name"], entry["size"], entry["sha256"]] for entry in files)
    return hashlib.sha256(canonical_json(rows).encode("ascii")).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in an artifact's folder, checked in itself; the payload files are not looked at.

    Raises:
        FileNotFoundError: there is none.
        IntegrityError: it is no manifest, belongs to another folder, or its content digest is not that of its files.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise IntegrityError(f"{path}: no JSON ({error})", hint=REPAIR_HINT) from error
    fault = _fault(manifest, folder)
    if fault:
        raise IntegrityError(f"{path}: {fault}", hint=REPAIR_HINT)
    checked: dict[str, Any] = manifest
    return checked


def _fault(manifest: Any, folder: Path) -> str | None:
    """What is wrong with a manifest, or None."""
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        return f"expected schema {SCHEMA}, found {found}"
    for name, kind in _FIELDS.items():
        if type(manifest.get(name)) is not kind:
            return f"field {name!r}: expected {kind.__name__}, found {type(manifest.get(name)).__name__}"
    if not all(_WORD.fullmatch(manifest[name]) for name in ("kind", "model", "label")):
        return "kind, model or label is no name"
    if not is_key(manifest["key"]) or key_hash(manifest["key"]) != folder.name:
        return f"key {manifest['key']} is not that of its folder {folder.name}"
    if folder.parent.parent.name != manifest["kind"]:
        return f"kind {manifest['kind']} is not that of its folder {folder.parent.parent.name}"
    if not all(_is_file_entry(entry) for entry in manifest["files"]):
        return "an entry of files is not {name, size, sha256}"
    if not all(_is_input(entry) for entry in manifest["inputs"].values()):
        return "an entry of inputs is not {key, content_digest, name}"
    if not all(isinstance(part, str) for part in manifest["parts"]):
        return "an entry of parts is no text"
    found = digest_content(manifest["files"])
    if found != manifest["content_digest"]:
        return f"content digest {manifest['content_digest']} is not that of its files, {found}"
    return None


def _is_file_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and _FILE.fullmatch(entry["name"]) is not None
        and type(entry.get("size")) is int
        and entry["size"] >= 0
        and isinstance(entry.get("sha256"), str)
        and _DIGEST.fullmatch(entry["sha256"]) is not None
    )


def _is_input(entry: Any) -> bool:
    return isinstance(entry, dict) and is_key(entry.get("key")) and isinstance(entry.get("content_digest"), str)


@dataclass(frozen=True)
class InputRef:
    """An input as an artifact's manifest names it: key, content digest, and the name it had then."""

    key: str
    content_digest: str
    name: str


@dataclass(frozen=True)
class Artifact:
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
        """
        expected, path = self.digest_of(name), self.path / name
        if name not in self._verified:
            found = file_digest(path) if path.is_file() else "no file"
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

    def frame(self) -> pd.DataFrame:
        """The main table of what it holds: of a kind without one of its own, its files."""
        import pandas as pd

        return pd.DataFrame(self.manifest["files"], columns=["name", "size", "sha256"])

    def plot(self) -> Figure:
        """The figure of what it holds, as its page has it."""
        from pasctl.store.kinds import draw

        figure: Figure = draw(self)
        return figure

    def _repr_html_(self) -> str:
        from pasctl.store.notebook import artifact_html

        return artifact_html(self)

    def _read(self, name: str, decode: Callable[[Path], _Payload]) -> _Payload:
        try:
            return decode(self.open_path(name))
        except payload.FormatError as error:
            raise IntegrityError(f"{self.name}: {name}: {error}", hint=REPAIR_HINT) from error
