"""Bundles: artifacts in one file, to hand on.

A bundle is a tar archive (see `pasctl.store.tape`) of

    bundle-<sha256 of its bytes>.json    {"schema", "manifests": [{"path", "size", "sha256"}], "named", "tags"}
    the manifests                        objects/<kind>/<k2>/<hash>/manifest.json, sorted
    the files of the artifacts           below the same folders, sorted

So whoever has read the first file knows of every byte that follows what it must be, and an unpacked bundle is a store.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.json_file import parse_json
from pasctl.store.arrival import Arrival, Arrived, Moved
from pasctl.store.departure import Leaving
from pasctl.store.disk import disk_errors, make_durable, unreadable, write_temporary
from pasctl.store.keys import is_key
from pasctl.store.manifest import MANIFEST
from pasctl.store.parcel import MOST_MANIFEST, Parcel, content_of, is_newer, newer, read_parcel
from pasctl.store.payload import encode_json
from pasctl.store.refs import KINDS
from pasctl.store.sweep import noted_export
from pasctl.store.tape import BLOCK, Tape, compressed, compression, end, header, padding

if TYPE_CHECKING:
    from pasctl.store.store import Store

SCHEMA = "pasctl-bundle/1"
_MOST_INDEX = 1 << 26  # bytes
_MOST_MANIFESTS = 1 << 28  # bytes of all together, which are held in memory
_INDEX = re.compile(r"bundle-[0-9a-f]{64}\.json")
_PLACE = re.compile(rf"objects/(?P<kind>{'|'.join(KINDS)})/(?P<k2>[0-9a-f]{{2}})/(?P<hexes>[0-9a-f]{{64}})/{MANIFEST}")


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been written: its file, bytes and sha256."""

    path: Path
    size: int
    sha256: str


def export_bundle(store: Store, leaving: Leaving, path: Path, *, tags: bool = False, moved: Moved) -> Bundle:
    """Writes a bundle, over an older file if there is one; it appears under its name when it is whole.

    Args:
        store: that the artifacts are in.
        leaving: them.
        path: of the bundle; the end of its name says how it is compressed.
        tags: whether their tags go with them.
        moved: called after each file.

    Raises:
        InputError: the name does not say how to compress.
        IntegrityError: a file of an artifact is damaged.
        StoreError: the disk is full or read-only.
    """
    how = compression(path)
    if path.is_dir():
        raise InputError(f"bundle {path} is a folder, expected a file's name")
    if sum(len(parcel.data) for parcel in leaving.parcels) > _MOST_MANIFESTS:
        raise InputError(f"these {len(leaving.parcels)} artifacts are too many for one bundle", hint="make several")
    with noted_export(store.root, path), disk_errors(path):
        written = write_temporary(path.parent, compressed(_archive(leaving, leaving.tags if tags else {}, moved), how))
        try:
            written.path.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                written.path.unlink()
            raise
        make_durable(path.parent)
    return Bundle(path, written.size, written.sha256)


def _archive(leaving: Leaving, tags: Mapping[str, str], moved: Moved) -> Iterator[bytes]:
    parcels = sorted(leaving.parcels, key=lambda parcel: parcel.folder)
    manifests = [
        {
            "path": f"{parcel.folder}/{MANIFEST}",
            "size": len(parcel.data),
            "sha256": hashlib.sha256(parcel.data).hexdigest(),
        }
        for parcel in parcels
    ]
    index = encode_json({"schema": SCHEMA, "manifests": manifests, "named": leaving.named, "tags": dict(tags)})
    yield _member(f"bundle-{hashlib.sha256(index).hexdigest()}.json", index)
    for about, parcel in zip(manifests, parcels, strict=True):
        yield _member(str(about["path"]), parcel.data)
    for parcel in parcels:
        for entry in parcel.files:
            yield header(f"{parcel.folder}/{entry['name']}", entry["size"])
            yield from content_of(leaving.artifacts[parcel.key], entry)
            yield padding(entry["size"])
            moved(entry["size"])
    yield end()


def _member(name: str, data: bytes) -> bytes:
    return header(name, len(data)) + data + padding(len(data))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BundleReader]:
    """A bundle, for the `with` block.

    Raises:
        MissingError: there is no such file.
        StoreError: it cannot be read.
        IntegrityError: it is no bundle, damaged, or one of a newer pasctl.
    """
    if not path.is_file():
        raise MissingError(f"there is no bundle {path}", hint="`pasctl store export` makes one")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error
    with stream:
        yield BundleReader(Tape(path, stream))


class BundleReader:
    """A bundle that is being read.

    Attributes:
        parcels: what it holds.
        named: keys of the artifacts that it was made for.
        tags: key by tag.
    """

    def __init__(self, tape: Tape) -> None:
        """Read the index and the manifests."""
        self._tape = tape
        index = self._index()
        self.named: list[str] = index["named"]
        self.tags: dict[str, str] = index["tags"]
        self.parcels = [self._parcel(about) for about in index["manifests"]]

    def _index(self) -> dict[str, Any]:
        block = self._tape.take(BLOCK, "its first block")
        name, digits = block[:100].rstrip(b"\0").decode("ascii", "replace"), block[124:135]
        size = int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else -1
        if not _INDEX.fullmatch(name) or not 0 < size <= _MOST_INDEX or block != header(name, size):
            raise self._tape.refusal("not a bundle of pasctl: it does not begin with bundle-<sha256>.json")
        data = self._tape.take(size, name)
        if any(self._tape.take(-size % BLOCK, name)):
            raise self._tape.refusal(f"expected zeros after {name}, found something else")
        if hashlib.sha256(data).hexdigest() != name[7:71]:
            raise self._tape.refusal(f"{name} is damaged: its sha256 is {hashlib.sha256(data).hexdigest()}")
        try:
            index = parse_json(data, unique=True)
        except ValueError as error:
            raise self._tape.refusal(f"{name}: no JSON ({error})") from error
        schema = index.get("schema") if isinstance(index, dict) else None
        if is_newer(schema, SCHEMA):
            raise newer(f"bundle {self._tape.path}", schema, SCHEMA)
        if fault := _index_fault(index):
            raise self._tape.refusal(f"{name}: {fault}")
        checked: dict[str, Any] = index
        return checked

    def _parcel(self, about: Mapping[str, Any]) -> Parcel:
        path = str(about["path"])
        data = b"".join(self._tape.content(path, about["size"]))
        if hashlib.sha256(data).hexdigest() != about["sha256"]:
            raise self._tape.refusal(f"{path} is damaged: expected sha256 {about['sha256']}")
        _, kind, _, hexes, _ = path.split("/")
        return read_parcel(data, kind, hexes, f"bundle {self._tape.path}: {path}")

    def bring(self, arrival: Arrival, moved: Moved) -> None:
        """Reads all files, and takes in those that are missing.

        Raises:
            IntegrityError: a byte of the bundle is not what it must be.
            StoreError: the disk is full or read-only.
        """
        wanted = {(parcel.key, entry["name"]): inbox for inbox, parcel, entry in arrival.missing}
        for parcel in self.parcels:
            for entry in parcel.files:
                inbox = wanted.get((parcel.key, entry["name"]))
                chunks = self._tape.content(f"{parcel.folder}/{entry['name']}", entry["size"])
                if inbox is not None:
                    arrival.receive(inbox, parcel, entry, chunks, f"bundle {self._tape.path}")
                    moved(entry["size"])
                digest = hashlib.sha256()
                for chunk in chunks:  # all of it, or what was left when another process was first
                    digest.update(chunk)
                if inbox is None and digest.hexdigest() != entry["sha256"]:
                    raise self._tape.refusal(f"{parcel.name}: {entry['name']} is damaged")
        self._tape.finish()


def _index_fault(index: Any) -> str | None:
    """What is wrong with the first file of a bundle, or None."""
    if not isinstance(index, dict) or index.get("schema") != SCHEMA:
        found = index.get("schema") if isinstance(index, dict) else type(index).__name__
        return f"expected schema {SCHEMA}, found {found!r}"
    manifests, named, tags = index.get("manifests"), index.get("named"), index.get("tags")
    if not isinstance(manifests, list) or not manifests or not all(map(_is_about, manifests)):
        return "its manifests are not a list of {path, size, sha256}"
    paths = [about["path"] for about in manifests]
    if paths != sorted(set(paths)):
        return "its manifests are not sorted, or one is there twice"
    if sum(about["size"] for about in manifests) > _MOST_MANIFESTS:
        return f"its manifests have more than {_MOST_MANIFESTS:,} bytes"
    if not isinstance(named, list) or not all(map(is_key, named)):
        return "what it was made for is not a list of keys"
    if not isinstance(tags, dict) or not all(map(is_key, tags.values())):
        return "its tags do not name keys"
    return None


def _is_about(about: Any) -> bool:
    path = about.get("path") if isinstance(about, dict) else None
    match = _PLACE.fullmatch(path) if isinstance(path, str) else None
    return (
        match is not None
        and match["hexes"].startswith(match["k2"])
        and type(about.get("size")) is int
        and 0 < about["size"] <= MOST_MANIFEST
        and isinstance(about.get("sha256"), str)
    )


def take_in(reader: BundleReader, arrival: Arrival, *, tags: bool, moved: Moved) -> Arrived:
    """Takes the artifacts of a bundle into the store that they are about to arrive in.

    The whole bundle is read and checked before the first of them is committed. A run that was killed is taken up where
    it ended, by the same call.

    Args:
        reader: the bundle.
        arrival: of its parcels.
        tags: whether their tags come with them, where they are free.
        moved: called after each file that was missing.

    Raises:
        IntegrityError: the bundle is damaged; the store is as it was.
        StoreError: the disk has no room, or the store cannot be written; what had arrived waits for the next try.
    """
    arrival.begin()
    try:
        reader.bring(arrival, moved)
    except IntegrityError:
        arrival.drop()
        raise
    return arrival.commit(reader.tags if tags else None)


def import_bundle(store: Store, path: Path, *, tags: bool = False) -> Arrived:
    """Takes the artifacts of the bundle in a file into a store; see `opened` and `take_in`."""
    with opened(path) as reader:
        arrival = Arrival(store, reader.parcels, reader.named)
        return take_in(reader, arrival, tags=tags, moved=lambda size: None)
