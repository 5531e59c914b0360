from __future__ import annotations

import json
import shutil

import pytest

from pasctl.store import Artifact, Problem, Store, make_key, schema
from pasctl.store.manifest import MANIFEST
from tests.store.worker import build, commit, document

SHARD = "head_outputs.safetensors"


@pytest.fixture
def made(store: Store) -> Artifact:
    build(store, seed=1)
    return build(store)[0]


def problems(store: Store, deep: bool = False) -> list[Problem]:
    return [problem for problem in store.verify(deep) if not problem.note]


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
    assert [problem.what for problem in problems(store)] == [f"does not list {made.name} ({made.short_key})"]
    store.reindex()
    with store.index.write() as connection:
        connection.execute(schema.artifacts.update().where(schema.artifacts.c.key == made.key).values(version=9))
    assert ["outdated" in problem.what for problem in problems(store)] == [True]
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
    assert any("content differs" in problem.what for problem in store.verify() if problem.note)
