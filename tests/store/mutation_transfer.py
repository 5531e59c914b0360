"""Checks of what leaves a store and arrives in one, for `test_mutation_store`: all of it is imported when they run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.disk_calls import Disk, after_power_cut, write_tree
from tests.store.light_stage import document, run
from tests.store.trees import digests


def _nothing(size: int) -> None:
    """Count no bytes."""


def _export(store: Any, path: Path) -> Path:
    from pasctl.store.bundle import export_bundle
    from pasctl.store.departure import leave

    export_bundle(store, leave(store, ["export/tiny/second"], with_inputs=True), path, moved=_nothing)
    return path


def _push(store: Any, folder: Path, ref: str = "export/tiny/second") -> Any:
    from pasctl.store.departure import leave
    from pasctl.store.remote_folder import FolderRemote
    from pasctl.store.transfer import Push

    remote = FolderRemote(folder)
    remote.workers = 1
    return Push(leave(store, [ref], with_inputs=True), remote)


def _pull(store: Any, folder: Path, ref: str) -> Any:
    from pasctl.store.remote_folder import FolderRemote
    from pasctl.store.transfer import Pull

    remote = FolderRemote(folder)
    remote.workers = 1
    return Pull(store, remote, [ref]).run(tags=False, moved=_nothing)


def _differing(root: Path, **tensors: np.ndarray) -> Any:
    """A store in which the first artifact of the light stage has other files."""
    from pasctl.store import Store, make_key

    store = Store(root)
    staging = store.stage(make_key(document("first")))
    for name, values in tensors.items():
        staging.write_tensors(f"{name}.safetensors", {"x": values})
    about = {"kind": "export", "stage": "light", "stage_version": 1, "model": "tiny", "label": "first"}
    staging.commit(document=document("first"), **about)
    return store


def check_moves(folder: Path) -> None:
    """What leaves arrives, by either way, and what stores have in common is one file."""
    from pasctl.store import Store
    from pasctl.store.bundle import import_bundle

    store = Store(folder / "store")
    run(store)
    tree = digests(store.root / "objects")
    arrived = import_bundle(Store(folder / "imported"), _export(store, folder / "b.tar"))
    assert (arrived.files, arrived.shared, digests(folder / "imported" / "objects")) == (3, 1, tree)
    assert _push(store, folder / "remote").run(tags=False, moved=_nothing).files == 4
    pulled = Store(folder / "pulled")
    assert _pull(pulled, folder / "remote", "export/tiny/first").files == 1
    arrived = _pull(pulled, folder / "remote", "export/tiny/second")
    assert (arrived.files, arrived.shared, digests(pulled.root / "objects")) == (2, 1, tree)


def check_tampering(folder: Path) -> None:
    """Bytes that were changed are refused, wherever they are."""
    from pasctl.errors import IntegrityError
    from pasctl.store import Store
    from pasctl.store.bundle import import_bundle
    from tests.store.test_bundle import a_manifest, bundle_of, forged, place_of

    store = Store(folder / "store")
    _, made = run(store)
    data, path = _export(store, folder / "b.tar").read_bytes(), folder / "changed.tar"
    at = data.index(b'{"__metadata__"') if b'{"__metadata__"' in data else data.index(b'{"x":')
    changed = data[: at + 300] + bytes([data[at + 300] ^ 1]) + data[at + 301 :]
    right = a_manifest()
    place, found = place_of(right), hashlib.sha256(b"{}").hexdigest()
    renamed = _renamed(bundle_of(right))
    listed = [{"path": place, "size": len(_encoded(right)), "sha256": "0" * 64}]
    other = a_manifest(
        document=document("forged", {"source": "0" * 64}),
        inputs={"source": {"key": "s1:" + "1" * 64, "content_digest": "1" * 64, "name": "x"}},
    )
    wrong = [changed, renamed, bundle_of(right, b"[]"), bundle_of(other)]
    wrong.append(_listed(right, listed))
    for number, each in enumerate(wrong):
        path.write_bytes(each)
        with pytest.raises(IntegrityError):
            import_bundle(Store(folder / f"other{number}"), path)
    path.write_bytes(changed)
    with pytest.raises(IntegrityError):  # of what is there already
        import_bundle(store, path)
    path.write_bytes(forged([(place, right)], {place.replace("manifest", "x"): b"{}"}))
    assert import_bundle(Store(folder / "right"), path).artifacts[0].digest_of("x.json") == found
    file = made.path / "x.safetensors"
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(IntegrityError):
        _export(store, folder / "damaged.tar")


def _encoded(value: Any) -> bytes:
    from pasctl.store.payload import encode_json

    return encode_json(value)


def _renamed(bundle: bytes) -> bytes:
    """A bundle whose first file has another digest in its name."""
    from pasctl.store.tape import header

    return header(f"bundle-{'0' * 64}.json", int(bundle[124:135], 8)) + bundle[512:]


def _listed(manifest: dict[str, Any], listed: list[dict[str, Any]]) -> bytes:
    """A bundle whose first file says something else of a manifest."""
    from pasctl.store.tape import end, header, padding
    from tests.store.test_bundle import place_of

    index = _encoded({"schema": "pasctl-bundle/1", "manifests": listed, "named": [], "tags": {}})
    place = place_of(manifest)
    inside = [(f"bundle-{hashlib.sha256(index).hexdigest()}.json", index), (place, _encoded(manifest))]
    inside.append((place.replace("manifest", "x"), b"{}"))
    return b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in inside) + end()


def check_other_content(folder: Path) -> None:
    """The same keys with other bytes: what was there first stays, and it is said."""
    from pasctl.errors import IntegrityError
    from pasctl.store import Store
    from pasctl.store.bundle import import_bundle

    store = Store(folder / "store")
    first, made = run(store)
    bundle, name = _export(store, folder / "b.tar"), "export/tiny/first"
    assert import_bundle(_differing(folder / "a", x=np.zeros(3)), bundle).other == [f"{name}@v1"]
    other = _differing(folder / "b", linked=np.zeros(300))
    _push(store, folder / "remote").run(tags=False, moved=_nothing)
    for each in (other, _differing(folder / "d", linked=np.zeros(3))):  # as many bytes, and fewer
        assert _push(each, folder / "remote", name).pushed.other == [name]
    assert _pull(other, folder / "remote", made.key).other == [f"{name}@v1"]  # an input, which does not come again
    left = folder / "left" / first.path.relative_to(store.root)
    left.mkdir(parents=True)
    (left / "linked.safetensors").write_bytes(bytes(first.size))
    with pytest.raises(IntegrityError):
        _push(store, folder / "left", name)
    more = _differing(folder / "c", linked=np.arange(300.0), more=np.zeros(3))
    late = _push(store, folder / "race", name)
    _push(more, folder / "race", name).run(tags=False, moved=_nothing)
    with pytest.raises(IntegrityError):
        late.run(tags=False, moved=_nothing)


def check_durable(folder: Path) -> None:
    """What was said to be done outlasts a power cut: a bundle, a push, and a file that has arrived."""
    from pasctl.store import Store, make_key
    from pasctl.store.bundle import import_bundle

    store = Store(folder / "store")
    run(store)
    tree = digests(store.root / "objects")
    disk = Disk(folder / "recorded")
    with disk.watch():
        _export(store, disk.root / "bundles" / "b.tar")
        _push(store, disk.root / "remote").run(tags=False, moved=_nothing)
        inbox = Store(disk.root / "other").inbox(make_key(document("first")))
        entry = {"name": "x.json", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
        inbox.receive(entry, [b"{}"])
    after = folder / "after"
    write_tree(after_power_cut(disk.log, lambda place: False, "lost"), after)
    import_bundle(Store(folder / "imported"), after / "bundles" / "b.tar")
    assert digests(folder / "imported" / "objects") == tree
    assert digests(after / "remote" / "objects") == tree
    assert Store(after / "other").inbox(inbox.key).holds(entry)


CHECKS = {
    "moves": check_moves,
    "tampering": check_tampering,
    "other content": check_other_content,
    "durable": check_durable,
}
