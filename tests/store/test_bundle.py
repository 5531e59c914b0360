"""Bundles: what was exported comes in byte for byte, and nothing of a bundle that anybody has changed."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError, IntegrityError, MissingError, StoreError
from pasctl.store import Artifact, Store, make_key
from pasctl.store.bundle import Bundle, export_bundle, import_bundle, opened
from pasctl.store.departure import leave
from pasctl.store.manifest import digest_content
from pasctl.store.payload import encode_json
from pasctl.store.tape import BLOCK, end, header, padding
from tests.store.conftest import lines
from tests.store.light_stage import document, run
from tests.store.trees import digests, lineage, state

WORKER = Path(__file__).with_name("transfer_worker.py")
ENDINGS = (".tar", ".tar.gz", ".tar.zst")


def write(store: Store, path: Path, *refs: str, tags: bool = False, with_inputs: bool = True) -> Bundle:
    leaving = leave(store, refs or ["best"], with_inputs=with_inputs)
    return export_bundle(store, leaving, path, tags=tags, moved=lambda size: None)


@pytest.fixture
def made(store: Store) -> list[Artifact]:
    return run(store)


@pytest.fixture
def bundle(store: Store, made: list[Artifact], tmp_path: Path) -> Path:
    return write(store, tmp_path / "b.tar", tags=True).path


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_leaves_arrives(store: Store, made: list[Artifact], tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"b{ending}"
    write(store, path, tags=True)
    other = Store(tmp_path / "other")
    arrived = import_bundle(other, path, tags=True)
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert [(each.key, each.content_digest) for each in arrived.artifacts] == [
        (each.key, each.content_digest) for each in made
    ]
    assert lineage(other, other.resolve("best")) == lineage(store, made[1])
    assert other.tags() == store.tags()
    assert other.resolve("latest") == made[1]  # what was named, and not its input
    assert (arrived.files, arrived.shared, arrived.bytes) == (3, 1, made[1].size)  # one file is that of its input
    assert (other.resolve("best").path / "linked.safetensors").stat().st_nlink == 2
    assert other.verify(deep=True) == []
    assert arrived.absent == []
    assert list((other.root / "staging").iterdir()) == []


def test_it_is_a_tar_archive_that_others_can_read(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    for ending in ENDINGS:
        write(store, tmp_path / f"b{ending}")
    for ending in (".tar", ".tar.gz"):
        with tarfile.open(tmp_path / f"b{ending}") as archive:
            archive.extractall(tmp_path / ending[1:], filter="data")
            assert [member.mtime + member.uid + member.gid for member in archive.getmembers()] == [0] * 7
        assert digests(tmp_path / ending[1:] / "objects") == digests(store.root / "objects")
    unpacked = Store(tmp_path / "tar")
    assert unpacked.lookup(made[1].key) == made[1]


def test_the_same_artifacts_give_the_same_bytes(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    for ending in ENDINGS:
        first = write(store, tmp_path / f"a{ending}", "best", "export/tiny/first")
        second = write(store, tmp_path / f"b{ending}", "best", "export/tiny/first")
        assert first.sha256 == second.sha256 == hashlib.sha256(second.path.read_bytes()).hexdigest()


def test_long_names_and_large_files_have_headers_that_tar_reads() -> None:
    for name in ("a" * 100 + ".json", "d/" * 40 + "n" * 99 + ".json", "x/" + "n" * 150 + ".json", "short.json"):
        for size in (0, 1, 512, 8**11 - 1, 8**11, 1 << 40):
            data = io.BytesIO(header(name, size) + end())
            with tarfile.open(fileobj=data, mode="r:") as archive:
                member = archive.next()
            assert member is not None
            assert (member.name, member.size, member.isreg()) == (name, size, True)


def test_tags_stay_where_they_are_taken_or_not_wanted(bundle: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    import_bundle(other, bundle)
    assert other.tags() == {}
    other.tag("export/tiny/first", "best")
    arrived = import_bundle(other, bundle, tags=True)
    assert (arrived.tags, arrived.kept_tags) == (["moved"], ["best"])
    assert other.resolve("best").label == "first"


def test_an_input_that_is_nowhere_is_a_note(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    write(store, tmp_path / "b.tar", with_inputs=False)
    other = Store(tmp_path / "other")
    arrived = import_bundle(other, tmp_path / "b.tar")
    assert arrived.absent == [made[0].name]
    assert [problem.grade for problem in other.verify(deep=True)] == ["note"]


def test_what_is_there_is_skipped_and_what_differs_stays(store: Store, bundle: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    staging = other.stage(make_key(document("first")))
    staging.write_tensors("linked.safetensors", {"x": np.zeros(3)})  # as another machine may have computed it
    mine = staging.commit(
        kind="export", stage="light", stage_version=1, model="tiny", label="first", document=document("first")
    )
    arrived = import_bundle(other, bundle)
    assert arrived.other == [mine.name]
    assert [parcel.name for parcel in arrived.new] == ["export/tiny/second"]
    again = import_bundle(other, bundle)
    assert (again.files, again.new, again.other) == (0, [], [mine.name])
    assert other.lookup(mine.key).content_digest == mine.content_digest  # type: ignore[union-attr]


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def refuse(store: Store, path: Path, data: bytes) -> str:
    """The message of the refusal, which leaves the store as it was."""
    path.write_bytes(data)
    before = state(store)
    with pytest.raises(IntegrityError) as caught:
        import_bundle(store, path, tags=True)
    assert caught.value.exit_code == 4
    assert "\n" not in caught.value.message
    assert state(store) == before
    return caught.value.message


@pytest.mark.integration
def test_no_byte_can_be_changed(bundle: Path, tmp_path: Path) -> None:
    """Every byte of the archive counts: index, headers, manifests, contents, padding, end."""
    data, other = bundle.read_bytes(), Store(tmp_path / "other")
    assert len(data) % BLOCK == 0
    draw = np.random.default_rng(0)
    places = {int(place) for place in draw.integers(len(data), size=400)}
    places |= {block + int(draw.integers(BLOCK)) for block in range(0, len(data), BLOCK)}
    for place in sorted(places):
        refuse(other, tmp_path / "changed.tar", changed(data, place))
    assert other.keys() == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_part_can_be_missing_or_added(store: Store, made: list[Artifact], tmp_path: Path, ending: str) -> None:
    data = write(store, tmp_path / f"b{ending}").path.read_bytes()
    other = Store(tmp_path / "other")
    for length in {0, 1, 3, 100, len(data) // 3, len(data) // 2, len(data) - 600, len(data) - 1} - {-1}:
        if 0 <= length < len(data):
            refuse(other, tmp_path / "cut", data[:length])
    if ending != ".tar.gz":  # whose reader lets zeros follow, as tapes have them
        refuse(other, tmp_path / "more", data + b"\0")
    refuse(other, tmp_path / "more", data + data)
    assert other.keys() == []


def members(data: bytes) -> list[bytes]:
    """The files of an archive, each with its header and padding."""
    found, place = [], 0
    while place < len(data) - len(end()):
        size = int(data[place + 124 : place + 135], 8)
        length = BLOCK + size + len(padding(size))
        found.append(data[place : place + length])
        place += length
    return found


def test_no_order_or_name_can_be_changed(bundle: Path, tmp_path: Path) -> None:
    parts, other = members(bundle.read_bytes()), Store(tmp_path / "other")
    index, manifests, files = parts[0], parts[1:3], parts[3:]
    for wrong in (
        [index, *reversed(manifests), *files],
        [index, *manifests, *reversed(files)],
        [index, *manifests, files[0], *files],
        [index, *manifests, *files[1:]],
        [index, *manifests, *files, files[-1]],
        [*manifests, *files],
        [index, index, *manifests, *files],
    ):
        refuse(other, tmp_path / "wrong.tar", b"".join(wrong) + end())
    for kind, words in ((b"2", "symbolic link"), (b"1", "a link"), (b"3", "device"), (b"6", "pipe"), (b"5", "folder")):
        entry = tarfile.TarInfo("../../../evil")
        entry.type, entry.linkname = kind, "/etc/passwd"
        block = entry.tobuf(tarfile.USTAR_FORMAT)
        message = refuse(other, tmp_path / "wrong.tar", index + b"".join(manifests) + block + files[0] + end())
        assert words in message
        assert "evil" in message
    assert not list(tmp_path.rglob("evil"))


def forged(said: list[tuple[str, Any]], files: dict[str, bytes], **about: Any) -> bytes:
    """A bundle in the right form of anything."""
    datas = [(path, data if isinstance(data, bytes) else encode_json(data)) for path, data in said]
    listed = [{"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in datas]
    index = encode_json({"schema": "pasctl-bundle/1", "manifests": listed, "named": [], "tags": {}} | about)
    inside = [(f"bundle-{hashlib.sha256(index).hexdigest()}.json", index), *datas, *sorted(files.items())]
    return b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in inside) + end()


def a_manifest(**about: Any) -> dict[str, Any]:
    """The manifest of an artifact with one file, x.json, of two bytes."""
    made_from = about.pop("document", document("forged"))
    files = about.pop("files", [{"name": "x.json", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}])
    manifest = {"schema": "pasctl-manifest/1", "key": make_key(made_from), "kind": "export", "stage": "light"}
    manifest |= {"stage_version": 1, "model": "tiny", "label": "forged", "document": made_from, "files": files}
    manifest |= {"content_digest": digest_content(files), "inputs": {}, "parts": [], "provenance": {}}
    return manifest | {"created_at": "2026-01-01T00:00:00.000000+00:00"} | about


def place_of(manifest: dict[str, Any]) -> str:
    hexes = manifest["key"][3:]
    return f"objects/{manifest['kind']}/{hexes[:2]}/{hexes}/manifest.json"


def bundle_of(manifest: dict[str, Any], data: bytes = b"{}", **about: Any) -> bytes:
    path = place_of(manifest)
    files = {path.replace("manifest.json", each["name"]): data for each in manifest["files"]}
    return forged([(path, manifest)], files, **about)


def test_a_forged_bundle_that_is_right_comes_in(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(bundle_of(a_manifest()))
    other = Store(tmp_path / "other")
    assert [each.name for each in import_bundle(other, tmp_path / "b.tar").artifacts] == ["export/tiny/forged@v1"]
    assert other.verify(deep=True) == []


def a_file(name: str, size: int = 2, sha256: str = hashlib.sha256(b"{}").hexdigest()) -> dict[str, Any]:
    return {"name": name, "size": size, "sha256": sha256}


REFUSED = {
    "out of its folder": a_manifest(files=[a_file("../x.json")]),
    "from the root": a_manifest(files=[a_file("/etc/x.json")]),
    "a point": a_manifest(files=[a_file("a/./x.json")]),
    "a format that may run code": a_manifest(files=[a_file("x.pkl")]),
    "the manifest itself": a_manifest(files=[a_file("manifest.json")]),
    "one name twice": a_manifest(files=[a_file("x.json"), a_file("x.json")]),
    "a file that is a folder": a_manifest(files=[a_file("x.json"), a_file("x.json/y.json")]),
    "no files": a_manifest(files=[]),
    "too large for any disk": a_manifest(files=[a_file("x.json", 1 << 61)]),
    "a size without end": a_manifest(files=[a_file("x.json", 10**400)]),
    "a negative size": a_manifest(files=[a_file("x.json", -1)]),
    "an unknown kind": a_manifest(kind="programs"),
    "another key": a_manifest(key="s1:" + "0" * 64),
    "another content digest": a_manifest(content_digest="0" * 64),
    "a label that leaves": a_manifest(label="../x"),
    "an input that is not its own": a_manifest(
        document=document("forged", {"source": "0" * 64}),
        inputs={"source": {"key": "s1:" + "1" * 64, "content_digest": "1" * 64, "name": "x"}},
    ),
    "a newer schema": a_manifest(schema="pasctl-manifest/2"),
    "another schema": a_manifest(schema="elsewhere/1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_manifest_that_no_store_writes(tmp_path: Path, what: str) -> None:
    message = refuse(Store(tmp_path / "other"), tmp_path / "b.tar", bundle_of(REFUSED[what]))
    assert ("newer pasctl" in message) == (what == "a newer schema")
    assert sorted(path.name for path in tmp_path.iterdir()) in (["b.tar"], ["b.tar", "other"])


def test_an_index_that_no_store_writes(tmp_path: Path) -> None:
    right, other = a_manifest(), Store(tmp_path / "other")
    path, key = place_of(right), right["key"]
    for place in ("/etc/passwd", f"../{path}", path.replace("/export/", "/../export/"), path.replace("manifest", "x")):
        refuse(other, tmp_path / "b.tar", forged([(place, right)], {}))
    for about in ({"named": ["best"]}, {"tags": {"best": 3}}, {"tags": []}, {"manifests": []}, {"manifests": [[]]}):
        refuse(other, tmp_path / "b.tar", bundle_of(right, **about))
    assert "newer pasctl" in refuse(other, tmp_path / "b.tar", bundle_of(right, schema="pasctl-bundle/2"))
    refuse(other, tmp_path / "b.tar", forged([(path, right), (path, right)], {}))
    refuse(other, tmp_path / "b.tar", forged([(path, b'{"a": 1, "a": 2}')], {}))
    refuse(other, tmp_path / "b.tar", forged([(path, b"[" * 100_000)], {}))
    (tmp_path / "b.tar").write_bytes(bundle_of(right, tags={"../../evil": key, "latest": key, "mine": key}))
    arrived = import_bundle(other, tmp_path / "b.tar", tags=True)
    assert (arrived.tags, arrived.kept_tags) == (["mine"], ["../../evil", "latest"])


def test_artifacts_that_are_made_from_each_other(tmp_path: Path) -> None:
    documents = [document("a"), document("b")]
    keys = [make_key(each) for each in documents]
    crossed = [
        a_manifest(document=each, inputs={"source": {"key": key, "content_digest": "0" * 64, "name": "x"}})
        for each, key in zip(documents, reversed(keys), strict=True)
    ]
    data = forged(sorted((place_of(each), each) for each in crossed), {})
    assert "made from each other" in refuse(Store(tmp_path / "other"), tmp_path / "b.tar", data)


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    for data in (b"", b"hello", b"\0" * 10_240, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04" + b"x" * 600):
        refuse(other, tmp_path / "b.tar", data)
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    refuse(other, tmp_path / "b.tar", (tmp_path / "b.tar").read_bytes())
    for path in (tmp_path / "nothing.tar", tmp_path):
        with pytest.raises(MissingError):
            import_bundle(other, path)


def test_a_disk_without_room_is_known_before(tmp_path: Path) -> None:
    large = a_manifest(files=[a_file("x.json", 1 << 55)])
    path = place_of(large)
    (tmp_path / "b.tar").write_bytes(forged([(path, large)], {}))
    other = Store(tmp_path / "other")
    with pytest.raises(StoreError, match="free, and this will write"):
        import_bundle(other, tmp_path / "b.tar")
    assert not other.root.exists()


def test_nothing_leaves_that_would_be_refused(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    write(store, tmp_path / "before.tar")
    path = made[1].path / "x.safetensors"
    path.write_bytes(changed(path.read_bytes(), 30))
    with pytest.raises(IntegrityError, match=r"x\.safetensors is damaged"):
        write(store, tmp_path / "b.tar")
    with pytest.raises(IntegrityError, match="damaged"):
        write(store, tmp_path / "before.tar")
    import_bundle(Store(tmp_path / "other"), tmp_path / "before.tar")  # which is as it was
    assert sorted(each.name for each in tmp_path.iterdir()) == ["artifacts", "before.tar", "other"]
    with pytest.raises(InputError, match=r"ends in \.tar\.zst"):
        write(store, tmp_path / "b.zip")


def test_only_what_is_missing_is_taken(bundle: Path, tmp_path: Path) -> None:
    """What had arrived whole before an interruption is not written again."""
    other = Store(tmp_path / "other")
    with opened(bundle) as reader:
        parcel = reader.parcels[-1]
        inbox = other.inbox(parcel.key)
    first = parcel.files[0]
    inbox.receive(first, [(tmp_path / "artifacts" / parcel.folder / first["name"]).read_bytes()])
    arrived = import_bundle(other, bundle)
    assert (arrived.files, arrived.shared) == (2, 1)  # and what had arrived is shared with its input
    damaged = Store(tmp_path / "damaged")
    inbox = damaged.inbox(parcel.key)
    inbox.receive(first, [(tmp_path / "artifacts" / parcel.folder / first["name"]).read_bytes()])
    [staged] = [path for path in (damaged.root / "staging").rglob("*") if path.is_file()]
    staged.write_bytes(b"something else")
    assert import_bundle(damaged, bundle).files == 3
    assert digests(damaged.root / "objects") == digests(tmp_path / "artifacts" / "objects")


def test_a_file_that_an_input_has_is_not_taken_from_a_damaged_one(
    store: Store, made: list[Artifact], bundle: Path, tmp_path: Path
) -> None:
    write(store, tmp_path / "first.tar", made[0].name)
    other = Store(tmp_path / "other")
    [first] = import_bundle(other, tmp_path / "first.tar").artifacts
    (first.path / "linked.safetensors").write_bytes(bytes(made[0].size))
    arrived = import_bundle(other, bundle)
    assert (arrived.files, arrived.shared) == (3, 0)
    problems = other.verify(deep=True)
    assert [(problem.file, "first" in problem.artifact) for problem in problems] == [("linked.safetensors", True)]


def test_a_stage_at_work_on_the_same_key_keeps_its_shards(bundle: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    staging = other.stage(make_key(document("second")))
    staging.write_json("parts/0.json", {"shard": 0})
    before = digests(other.root / "staging")
    refuse(other, tmp_path / "cut.tar", bundle.read_bytes()[:-BLOCK])
    assert digests(other.root / "staging") == before
    assert staging.has("parts/0.json")


@pytest.mark.integration
def test_killed_at_every_call(store: Store, bundle: Path, tmp_path: Path, start: Callable[..., Any]) -> None:
    records = lines(start("kill", "import", bundle, tmp_path / "runs", worker=WORKER))
    assert len(records) > 60
    assert [record["killed"] for record in records] == [True] * (len(records) - 1) + [False]
    for record in records:
        assert record["problems"] == [], record
        assert record["left"] == [], record
        assert record["objects"] == digests(store.root / "objects"), record
        assert record["tags"] == store.tags(), record


@pytest.mark.integration
def test_two_processes_import_the_same_bundle(
    store: Store, bundle: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    for number in range(4):
        root = tmp_path / f"other{number}"
        processes = [start("import", root, bundle, worker=WORKER, stdin=subprocess.PIPE) for _ in range(2)]
        for process in processes:
            assert json.loads(process.stdout.readline()) == {"ready": True}
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            [record] = lines(process)
            assert record["names"] == ["export/tiny/first@v1", "export/tiny/second@v1"]
        assert digests(root / "objects") == digests(store.root / "objects")
        assert Store(root).verify(deep=True) == []
