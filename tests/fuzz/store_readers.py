"""Readers of what other stores send: bundles, manifests, and the pages of web servers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.fuzz.reader import Reader


def _bundle(folder: Path) -> object:
    from pasctl.store import Store
    from pasctl.store.bundle import import_bundle

    return import_bundle(Store(folder / "store"), folder / "b.tar").files


def framed(index: bytes) -> bytes:
    """A bundle whose first file is right in all but its content."""
    from pasctl.store.tape import end, header, padding

    name = f"bundle-{hashlib.sha256(index).hexdigest()}.json"
    return header(name, len(index)) + index + padding(len(index)) + end()


def _index(folder: Path) -> object:
    """The first file of a bundle that ends after it: an index is read when the manifests are missed that it names."""
    from pasctl.errors import IntegrityError
    from pasctl.store.bundle import opened

    path = folder / "b.tar"
    path.write_bytes(framed((folder / "index.json").read_bytes()))
    try:
        with opened(path):
            return True
    except IntegrityError as error:
        if error.message.startswith(f"bundle {path}: expected objects/"):
            return False
        raise


def _manifest(folder: Path) -> object:
    """A manifest from elsewhere, and what is taken from it before a file comes."""
    from pasctl.errors import IntegrityError
    from pasctl.store import Store
    from pasctl.store.arrival import Arrival
    from pasctl.store.parcel import read_parcel

    data = (folder / "manifest.json").read_bytes()
    try:
        said = json.loads(data)
        kind, hexes = str(said["kind"]), str(said["key"])[3:]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(str(error)) from error
    parcel = read_parcel(data, kind, hexes, "remote")
    arrival = Arrival(Store(folder / "store"), [parcel])
    arrival.begin()
    return arrival.size, arrival.arrived.absent, parcel.name, parcel.folder


def _page(folder: Path) -> object:
    from pasctl.store.remote_http import _Links

    links = _Links()
    links.feed((folder / "index.html").read_bytes().decode("utf-8", "replace"))
    assert not any(name.count("/") > name.endswith("/") or not name.strip("/.") for name in links.names)
    return len(links.names)


STORE_READERS: dict[str, Reader] = {
    "bundle": Reader("bundle", "b.tar", _bundle, share=0.5),
    "index of a bundle": Reader("bundle-index", "index.json", _index, share=0.5),
    "manifest of a remote": Reader("parcel", "manifest.json", _manifest, share=0.5),
    "page of a folder": Reader("page", "index.html", _page),
}
