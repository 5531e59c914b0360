from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from pasctl.store import Artifact, Problem, Store, make_key, schema
from pasctl.store.keys import file_digest
from pasctl.store.manifest import MANIFEST
from tests.store.worker import build, commit, document

SHARD = "head_outputs.safetensors"


@pytest.fixture
def made(store: Store) -> Artifact:
    build(store, seed=1)
    return build(store)[0]


def problems(store: Store, deep: bool = False) -> list[Problem]:
    return [problem for problem in store.verify(deep) if not problem.note]


def graded(store: Store) -> list[tuple[str, str]]:
    return [(problem.grade, problem.what) for problem in store.verify()]


def test_deep_names_the_shard_with_one_flipped_bit(store: Store, made: Artifact) -> None:
    data = bytearray((made.path / SHARD).read_bytes())
    data[len(data) // 2] ^= 4
    (made.path / SHARD).write_bytes(data)
    assert problems(store) == []
    (problem,) = problems(store, deep=True)
    assert (problem.artifact, problem.file) == (f"{made.name} ({made.short_key})", SHARD)
    assert "sha256" in problem.what


def test_shallow_names_files_that_are_missing_or_cut(store: Store, made: Artifact) -> None:
    (made.path / "items.json").unlink()
    (made.path / SHARD).write_bytes((made.path / SHARD).read_bytes()[:-1])
    assert [(problem.file, problem.what.split()[0]) for problem in problems(store)] == [
        (SHARD, "expected"),
        ("items.json", "the"),
    ]


def test_a_file_that_does_not_belong_is_a_note(store: Store, made: Artifact) -> None:
    (made.path / "notes.txt").write_text("mine")
    assert problems(store, deep=True) == []
    assert [problem.file for problem in store.verify()] == ["notes.txt"]


def test_deep_finds_a_document_that_was_changed(store: Store, made: Artifact) -> None:
    manifest = json.loads((made.path / MANIFEST).read_text())
    manifest["document"]["params"]["seed"] = 7
    (made.path / MANIFEST).write_text(json.dumps(manifest))
    assert problems(store) == []
    (problem,) = problems(store, deep=True)
    assert make_key(document(7)) in problem.what


def test_index_and_disk_are_compared_both_ways(store: Store, made: Artifact) -> None:
    with store.index.write() as connection:
        connection.execute(schema.artifacts.delete().where(schema.artifacts.c.key == made.key))
    assert graded(store) == [("note", f"does not list {made.name} ({made.short_key})")]
    store.reindex()
    with store.index.write() as connection:
        connection.execute(schema.artifacts.update().where(schema.artifacts.c.key == made.key).values(version=9))
    assert [(grade, "outdated" in what) for grade, what in graded(store)] == [("note", True)]
    store.reindex()
    shutil.rmtree(made.path)
    what = " ".join(problem.what for problem in problems(store))
    assert f"lists activations {made.short_key}, which is not on disk" in what
    assert f"points to {made.short_key}" in what


def test_refs_that_point_nowhere(store: Store, made: Artifact) -> None:
    store.tag(made, "mine")
    (store.root / "refs/tags/mine").write_text("s1:" + "0" * 64 + "\n")
    (store.root / "refs/names/activations/tiny/papi/v3").write_text("")
    (store.root / "refs/names/activations/tiny/papi/v4").write_text(made.key)
    (store.root / "refs/names/activations/tiny/wrong").mkdir()
    (store.root / "refs/names/activations/tiny/wrong/v1").write_text(made.key)
    found = {problem.artifact: problem.what for problem in problems(store)}
    assert {problem.grade for problem in problems(store)} == {"stale"}
    assert found["tag mine"].startswith("points to 000000000000")
    assert found["activations/tiny/papi@v3"] == "holds no key"
    assert "another name" in found["activations/tiny/wrong@v1"]


def test_a_missing_input_is_a_note_and_a_different_one_too(store: Store, made: Artifact) -> None:
    staging = store.stage(make_key(document(5)))
    staging.write_json("x.json", 5)
    commit(staging, document(5), kind="probes", inputs={"activations": made})
    shutil.rmtree(made.path)
    store.reindex()
    notes = [problem.what for problem in store.verify(deep=True) if problem.note]
    assert any(f"activations/tiny/papi@v2 ({made.short_key}), is not in the store" in note for note in notes)
    staging = store.stage(made.key)
    staging.write_json("other.json", "not the same content")
    commit(staging, document())
    assert any("content differs" in problem.what for problem in store.verify() if problem.grade == "stale")


def odd_manifests(sound: bytes) -> dict[str, bytes]:
    """Manifests that a disk, an editor or somebody else may leave."""
    document = json.loads(sound)
    changed = {
        "no files": {"files": None},
        "a huge size": {"files": [{"name": "x.json", "size": 10**30, "sha256": "0" * 64}]},
        "a name that leaves": {"files": [{"name": "../../x.json", "size": 1, "sha256": "0" * 64}]},
        "inputs of another kind": {"inputs": {"activations": "s1:0"}},
        "a document of another kind": {"document": ["params"]},
        "a number that is none": {"document": {"params": {"x": float("nan")}}},
        "half a pair": {"stage": "\ud800", "document": {"params": {"\udfff": "\ud800"}}},
        "no kind": {"kind": "../.."},
    }
    odd = {name: json.dumps(document | change).encode() for name, change in changed.items()}
    deep = b"[" * 100_000 + b"]" * 100_000
    return odd | {
        "empty": b"",
        "cut": sound[: len(sound) // 2],
        "no text": b"\xff\xfe\x00",
        "nested": deep,
        "nested inside": sound.replace(b'"params": {', b'"params": {"deep": ' + deep + b", ", 1),
        "a long number": sound.replace(b'"stage_version": 1', b'"stage_version": ' + b"1" * 5000, 1),
        "another schema": sound.replace(b"pasctl-manifest/1", b"\\u001b[31mred"),
    }


ODD = [*odd_manifests(b'{"stage_version": 1, "params": {}}')]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_manifest_is_one_finding_and_the_rest_is_looked_at(store: Store, made: Artifact, name: str) -> None:
    other = store.resolve("activations/tiny/papi@v1")
    (other.path / "items.json").write_bytes(b"")
    path = made.path / MANIFEST
    path.write_bytes(odd_manifests(path.read_bytes())[name])
    findings = [problem for problem in store.verify(deep=True) if problem.damaged]
    about = [problem for problem in findings if made.short_key in problem.artifact]
    assert about
    assert all("\x1b" not in problem.what for problem in findings)
    assert [problem.file for problem in findings if other.short_key in problem.artifact] == ["items.json"]


def test_folders_that_hold_no_artifact_are_findings(store: Store, made: Artifact) -> None:
    (made.path.parent / "a-file").write_text("")
    (made.path / MANIFEST).unlink()
    (made.path / MANIFEST).mkdir()
    grades = {problem.file: problem.grade for problem in store.verify() if problem.artifact != "index"}
    assert grades[MANIFEST] == "damaged"
    assert grades[""] in ("note", "stale")


def test_a_file_that_cannot_be_read_is_one_finding(
    store: Store, made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        if path.name == SHARD:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return file_digest(path)

    monkeypatch.setattr("pasctl.store.verify.file_digest", refuse)
    findings = store.verify(deep=True)
    assert [(problem.file, problem.grade) for problem in findings] == [(SHARD, "damaged")] * 2
    assert "Input/output error" in findings[0].what


def test_no_finding_says_that_something_good_be_removed(store: Store, made: Artifact) -> None:
    """Of whatever may be wrong, all at once."""
    store.tag(made, "mine")
    with store.index.write() as connection:
        connection.execute(schema.artifacts.delete())
    (made.path / "notes.txt").write_text("mine")
    (made.path / "items.json").write_bytes(b"")
    (store.root / "refs/tags/mine").write_text("s1:" + "0" * 64 + "\n")
    shutil.rmtree(store.resolve("activations/tiny/papi@v1").path)
    findings = store.verify(deep=True)
    assert {problem.grade for problem in findings} == {"note", "stale", "damaged"}
    for problem in findings:
        assert "remove" not in problem.advice
        assert "delete" not in problem.advice
        assert problem.advice or problem.note or "points to" in problem.what
