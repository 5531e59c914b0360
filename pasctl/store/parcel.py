"""Parcels: artifacts on their way between stores, whose manifests are checked in themselves at either end.

What leaves is checked as what arrives is, so that no store sends what another one refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pasctl.errors import IntegrityError
from pasctl.json_file import parse_json
from pasctl.store.artifact import Artifact
from pasctl.store.disk import unreadable
from pasctl.store.inbox import Entry
from pasctl.store.keys import key_hash, make_key
from pasctl.store.manifest import MANIFEST, REPAIR_HINT, SCHEMA, check_file_name, manifest_fault
from pasctl.store.refs import KINDS
from pasctl.store.registration import is_present, removed

MOST_MANIFEST = 1 << 26
"""Bytes of one manifest; the largest of ours have some hundred kilobytes."""
_MOST_BYTES = 1 << 60
CHUNK = 1 << 20


@dataclass(frozen=True)
class Parcel:
    """An artifact without its files.

    Attributes:
        manifest: what it says, checked in itself.
        data: its bytes, which arrive as they left.
    """

    manifest: dict[str, Any]
    data: bytes

    @property
    def key(self) -> str:
        """The artifact's key."""
        return str(self.manifest["key"])

    @property
    def kind(self) -> str:
        """The artifact's kind."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """`kind/model/label`; each store counts versions by itself."""
        return f"{self.kind}/{self.manifest['model']}/{self.manifest['label']}"

    @property
    def content_digest(self) -> str:
        """The sha256 over its files' names, sizes and digests."""
        return str(self.manifest["content_digest"])

    @property
    def folder(self) -> str:
        """Where it stands in a store, or in anything of the same form."""
        return folder_of(self.kind, self.key)

    @property
    def files(self) -> list[Entry]:
        """Its files, by name."""
        return sorted(self.manifest["files"], key=lambda entry: entry["name"])

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry["size"] for entry in self.manifest["files"])

    @property
    def inputs(self) -> dict[str, str]:
        """Name by key of what it was made from."""
        return {entry["key"]: str(entry.get("name", "")) for entry in self.manifest["inputs"].values()}


def folder_of(kind: str, key: str) -> str:
    """The folder of an artifact below a store's root."""
    hexes = key_hash(key)
    return f"objects/{kind}/{hexes[:2]}/{hexes}"


def read_parcel(data: bytes, kind: str, hexes: str, where: str) -> Parcel:
    """The parcel of a manifest that others may have written.

    Args:
        data: bytes of the manifest.
        kind: of the folder that it stands in.
        hexes: name of that folder.
        where: it comes from, for messages.

    Raises:
        IntegrityError: it is no manifest of that folder, or one of a newer pasctl.
    """
    try:
        manifest = parse_json(data, unique=True)
    except ValueError as error:
        raise IntegrityError(f"{where}: no JSON ({error})") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if is_newer(schema, SCHEMA):
        raise newer(where, schema, SCHEMA)
    if fault := manifest_fault(manifest, kind, hexes) or _fault(manifest):
        raise IntegrityError(f"{where}: {fault}", hint="get it again from where it was made")
    return Parcel(manifest, data)


def is_newer(schema: object, known: str) -> bool:
    """Whether a schema such as `pasctl-manifest/2` comes after the one that is known here."""
    family, _, number = known.rpartition("/")
    found, _, later = schema.rpartition("/") if isinstance(schema, str) else ("", "", "")
    return found == family and later.isascii() and later.isdigit() and len(later) < 10 and int(later) > int(number)


def newer(where: str, schema: object, known: str) -> IntegrityError:
    """The error for what a newer pasctl has written."""
    return IntegrityError(
        f"{where}: a newer pasctl wrote it: expected schema {known}, found {schema!r}", hint="install a newer pasctl"
    )


def _fault(manifest: dict[str, Any]) -> str | None:
    """What a manifest says that no store of ours commits; None if there is nothing."""
    if manifest["kind"] not in KINDS:
        return f"kind {manifest['kind']!r} is unknown, expected one of {', '.join(KINDS)}"
    names = [entry["name"] for entry in manifest["files"]]
    folders = {name[:place] for name in names for place, sign in enumerate(name) if sign == "/"}
    if not names:
        return "it has no files"
    if sum(entry["size"] for entry in manifest["files"]) > _MOST_BYTES:
        return "its files have more bytes than any disk"
    if len(set(names)) < len(names) or folders & set(names):
        return "two of its files have one name"
    try:
        for name in names:
            check_file_name(name)
        key = make_key(manifest["document"])
    except (TypeError, ValueError) as error:
        return str(error)
    if key != manifest["key"]:
        return f"its key document has the key {key}, not {manifest['key']}"
    inputs = manifest["document"].get("inputs")
    for role, entry in manifest["inputs"].items():
        if isinstance(inputs, dict) and inputs.get(role, entry["content_digest"]) != entry["content_digest"]:
            return f"input {role!r} is not the one of its key document"
    return None


def parcel_of(artifact: Artifact) -> Parcel:
    """The parcel of an artifact of this store.

    Raises:
        IntegrityError: its manifest is damaged.
        MissingError: another process has removed it.
    """
    path = artifact.path / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise removed(artifact) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return read_parcel(data, artifact.kind, key_hash(artifact.key), str(path))


def content_of(artifact: Artifact, entry: Entry) -> Iterator[bytes]:
    """The bytes of a file of an artifact of this store, which are checked while they are read.

    Raises:
        IntegrityError: they are not those that were committed; this comes after the last of them, if not before.
        MissingError: another process has removed the artifact.
    """
    path, digest, count = artifact.path / entry["name"], hashlib.sha256(), 0
    found = "no file"
    try:
        with path.open("rb") as stream:
            while (chunk := stream.read(CHUNK)) and count <= entry["size"]:
                count += len(chunk)
                digest.update(chunk)
                yield chunk
        found = f"{count} bytes with sha256 {digest.hexdigest()}"
    except FileNotFoundError as error:
        if not is_present(artifact):
            raise removed(artifact) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if (count, digest.hexdigest()) != (entry["size"], entry["sha256"]) or found == "no file":
        expected = f"{entry['size']} bytes with sha256 {entry['sha256']}"
        raise IntegrityError(
            f"{artifact.name}: {entry['name']} is damaged: expected {expected}, found {found}",
            hint=f"{REPAIR_HINT} (the folder is {artifact.path})",
        )


def inputs_first(parcels: Iterable[Parcel]) -> list[Parcel]:
    """Parcels in an order in which none comes before what it was made from.

    Raises:
        IntegrityError: there is none: some are said to be made from each other.
    """
    by_key = {parcel.key: parcel for parcel in parcels}
    graph = {key: [each for each in parcel.inputs if each in by_key] for key, parcel in by_key.items()}
    try:
        return [by_key[key] for key in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        names = " and ".join(sorted({by_key[key].name for key in error.args[1]}))
        raise IntegrityError(f"{names}: said to be made from each other, which no artifact is") from error
