from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import BusyError, InputError, IntegrityError
from pasctl.store import Bf16, Store, file_digest, make_key
from pasctl.store.manifest import MANIFEST, digest_content
from tests.store.worker import SHARDS, build, commit, document


def test_a_store_object_touches_nothing(store: Store) -> None:
    assert store.lookup(make_key({})) is None
    assert store.artifacts() == []
    assert store.tags() == {}
    assert store.verify(deep=True) == []
    assert not store.stage(make_key({})).has("parts/x.json")
    assert not store.root.exists()


def test_an_artifact_says_what_it_is(store: Store) -> None:
    before = datetime.now(UTC)
    artifact, computed = build(store)
    assert computed == SHARDS
    assert artifact.name == "activations/tiny/papi@v1"
    assert artifact.key == make_key(document())
    assert artifact.document == document()
    assert artifact.params == {"seed": 0}
    assert artifact.short_key == artifact.key[3:15]
    assert before <= datetime.fromisoformat(artifact.created_at) <= datetime.now(UTC)
    assert artifact.path == store.root / "objects" / "activations" / artifact.key[3:5] / artifact.key[3:]
    assert artifact.size == sum(path.stat().st_size for path in artifact.path.iterdir() if path.name != MANIFEST)


def test_only_files_outside_parts_are_in_the_artifact_and_staging_is_gone(store: Store) -> None:
    artifact, _ = build(store)
    assert artifact.files() == ["head_outputs.safetensors", "items.json"]
    assert sorted(path.name for path in artifact.path.iterdir()) == ["head_outputs.safetensors", "items.json", MANIFEST]
    assert list((store.root / "staging").iterdir()) == []


def test_content_digest_is_that_of_the_bytes(store: Store) -> None:
    artifact, _ = build(store)
    rows = [
        {"name": name, "size": (artifact.path / name).stat().st_size, "sha256": file_digest(artifact.path / name)}
        for name in reversed(artifact.files())
    ]
    assert digest_content(rows) == artifact.content_digest
    rows[0]["size"] += 1
    assert digest_content(rows) != artifact.content_digest


def test_the_same_work_in_two_stores_has_one_content_digest(store: Store, tmp_path: Path) -> None:
    assert build(store)[0].content_digest == build(Store(tmp_path / "other"))[0].content_digest
    assert build(store, seed=1)[0].content_digest != build(store)[0].content_digest


def test_a_second_run_computes_nothing(store: Store) -> None:
    artifact, _ = build(store)
    again, computed = build(Store(store.root))
    assert (again, computed, again.version) == (artifact, 0, 1)


def test_versions_count_up_under_a_name_and_names_are_independent(store: Store) -> None:
    names = [build(store, seed=seed, label=label)[0].name for seed, label in enumerate(["papi", "e+", "papi", "papi"])]
    assert names == [
        "activations/tiny/papi@v1",
        "activations/tiny/e+@v1",
        "activations/tiny/papi@v2",
        "activations/tiny/papi@v3",
    ]


def test_the_document_must_have_the_key(store: Store) -> None:
    staging = store.stage(make_key(document()))
    staging.write_json("x.json", 1)
    with pytest.raises(ValueError, match="key"):
        commit(staging, document(5))


def test_nothing_staged_is_nothing_to_commit(store: Store) -> None:
    staging = store.stage(make_key(document()))
    staging.write_json("parts/x.json", 1)
    with pytest.raises(ValueError, match="nothing staged"):
        commit(staging, document())


@pytest.mark.parametrize("word", ["", "UPPER", "a/b", "..", ".hidden", "a b", "ü", "x" * 101, "a@v1", "dot."])
@pytest.mark.parametrize("field", ["kind", "model", "label"])
def test_words_that_cannot_be_folders_are_refused(store: Store, field: str, word: str) -> None:
    staging = store.stage(make_key(document()))
    staging.write_json("x.json", 1)
    with pytest.raises(InputError, match=field):
        commit(staging, document(), **{field: word})


@pytest.mark.parametrize(
    "name", ["../x.json", "/x.json", "a//x.json", "x.pkl", "x", "manifest.json", ".x.json", "a/../x.json"]
)
def test_file_names_that_leave_the_folder_or_have_no_format_are_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match=r"name|ends in"):
        store.stage(make_key(document())).write_json(name, 1)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_staged_shard_is_computed_again(store: Store, damage: str) -> None:
    undisturbed = build(Store(store.root / "other"))[0].content_digest
    staging = store.stage(make_key(document()))
    for shard in range(SHARDS):
        x = np.random.default_rng([0, shard]).normal(size=(8, 16))
        staging.write_tensors(f"parts/rows-{shard}.safetensors", {"x": x})
    (path,) = staging.folder.glob("parts/rows-2.*")
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    path.write_bytes({"truncate": data[:-9], "flip": data, "empty": b""}[damage])
    fresh = Store(store.root).stage(staging.key)
    assert [fresh.has(f"parts/rows-{shard}.safetensors") for shard in range(SHARDS)] == [True, True, False]
    artifact, computed = build(store)
    assert (computed, artifact.content_digest) == (1, undisturbed)


def test_a_staged_file_can_be_written_again(store: Store) -> None:
    staging = store.stage(make_key(document()))
    for value in range(3):
        staging.write_json("x.json", value)
        assert staging.read_json("x.json") == value
    assert staging.names() == ["x.json"]
    assert commit(staging, document()).read_json("x.json") == 2


def test_two_processes_that_disagree_about_a_shard_leave_one_of_them(store: Store) -> None:
    first, second = store.stage(make_key(document())), store.stage(make_key(document()))
    first.write_json("x.json", 1)
    second.write_json("x.json", 2)
    for staging in (first, second):
        assert staging.has("x.json")
    artifact = commit(first, document())
    assert artifact.read_json("x.json") in (1, 2)
    assert commit(second, document()) == artifact
    assert store.verify(deep=True) == []


def test_a_staging_that_another_process_has_committed(store: Store) -> None:
    slow, fast = store.stage(make_key(document())), store.stage(make_key(document()))
    slow.write_json("parts/x.json", 1)
    fast.write_json("y.json", 2)
    done = commit(fast, document())
    with pytest.raises(BusyError, match="another process finished the same work"):
        slow.read_json("parts/x.json")
    slow.write_json("z.json", 3)
    assert commit(slow, document()) == done
    assert done.files() == ["y.json"]
    assert list((store.root / "staging").iterdir()) == []


def test_a_folder_name_with_signs_that_mean_something_in_urls(tmp_path: Path) -> None:
    store = Store(tmp_path / "a?b#c%20d é")
    assert build(store)[0] == store.resolve("latest")
    assert {path.name.partition("-")[0] for path in store.root.iterdir()} >= {"index.sqlite"}


def test_reading_a_shard_that_is_not_there(store: Store) -> None:
    with pytest.raises(IntegrityError, match="missing or damaged"):
        store.stage(make_key(document())).read_json("x.json")


def test_damage_is_found_at_the_first_read_of_each_object(store: Store) -> None:
    artifact, _ = build(store)
    artifact.read_json("items.json")
    data = (artifact.path / "head_outputs.safetensors").read_bytes()
    (artifact.path / "head_outputs.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(
        IntegrityError, match=r"activations/tiny/papi@v1: head_outputs.safetensors is damaged"
    ) as caught:
        artifact.read_tensors("head_outputs.safetensors")
    assert artifact.manifest["files"][0]["sha256"] in caught.value.message
    assert file_digest(artifact.path / "head_outputs.safetensors") in caught.value.message
    assert "verify --deep" in (caught.value.hint or "")
    (artifact.path / "items.json").unlink()
    with pytest.raises(IntegrityError, match="found no file"):
        build(store)[0].read_json("items.json")
    with pytest.raises(IntegrityError, match=r"no file other\.json"):
        artifact.read_json("other.json")


def test_tensors_as_plain_arrays(store: Store) -> None:
    staging = store.stage(make_key(document()))
    values = np.float32([[0.5, -2.0], [3.0, 0.0]])  # exact in bfloat16
    staging.write_tensors(
        "x.safetensors",
        {"wide": Bf16((values.view(np.uint32) >> 16).astype(np.uint16)), "plain": values.astype(np.float16)},
    )
    staged = staging.read_arrays("x.safetensors")
    for arrays in (staged, commit(staging, document()).read_arrays("x.safetensors")):
        assert {name: array.dtype.name for name, array in arrays.items()} == {"wide": "float32", "plain": "float16"}
        assert all(np.array_equal(array, values) for array in arrays.values())


def test_removing_a_damaged_artifact_and_running_again_gives_the_same_name(store: Store) -> None:
    artifact, _ = build(store)
    build(store, seed=1)
    shutil.rmtree(artifact.path)
    assert store.lookup(artifact.key) is None
    again, computed = build(store)
    assert (again.name, again.content_digest, computed) == (artifact.name, artifact.content_digest, SHARDS)
    assert store.verify(deep=True) == []


def test_the_rest_of_a_half_removed_artifact_is_no_obstacle(store: Store) -> None:
    artifact, _ = build(store)
    (artifact.path / MANIFEST).unlink()
    assert store.lookup(artifact.key) is None
    assert build(store)[0].files() == artifact.files()
    assert store.verify(deep=True) == []


BROKEN = {
    "no json": lambda manifest: "{",
    "a list": lambda manifest: [],
    "other schema": lambda manifest: manifest | {"schema": "pasctl-manifest/9"},
    "no key": lambda manifest: {name: value for name, value in manifest.items() if name != "key"},
    "other key": lambda manifest: manifest | {"key": "s1:" + "0" * 64},
    "other kind": lambda manifest: manifest | {"kind": "probes"},
    "file outside": lambda manifest: manifest | {"files": [{"name": "../x.json", "size": 1, "sha256": "0" * 64}]},
    "file left out": lambda manifest: manifest | {"files": manifest["files"][:1]},
    "label outside": lambda manifest: manifest | {"label": "../../x"},
    "version no int": lambda manifest: manifest | {"stage_version": "1"},
    "bad input": lambda manifest: manifest | {"inputs": {"x": {"key": "s1:"}}},
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_manifest_is_refused_by_lookup_and_named_by_verify(store: Store, fault: str) -> None:
    artifact, _ = build(store)
    build(store, seed=1)
    broken = BROKEN[fault](json.loads((artifact.path / MANIFEST).read_text()))
    (artifact.path / MANIFEST).write_text(broken if isinstance(broken, str) else json.dumps(broken))
    with pytest.raises(IntegrityError, match=MANIFEST) as caught:
        store.lookup(artifact.key)
    assert "move the artifact's folder out of the store" in (caught.value.hint or "")
    assert [found.params["seed"] for found in store.artifacts()] == [1]
    with pytest.raises(IntegrityError):
        list(store.candidates("activations"))
    assert any(problem.artifact == artifact.short_key and not problem.note for problem in store.verify())
    assert store.reindex().broken == 1


def test_inputs_and_parts_are_recorded(store: Store) -> None:
    source, _ = build(store)
    results = []
    for seed, parts in ((10, ["p1", "p2"]), (11, ["p2", "p3"])):
        staging = store.stage(make_key(document(seed)))
        staging.write_json("x.json", seed)
        results.append(commit(staging, document(seed), kind="results", inputs={"activations": source}, parts=parts))
    first, second = results
    assert first.inputs["activations"].content_digest == source.content_digest
    assert first.inputs["activations"].name == source.name
    assert store.find_parts(["p1", "p2", "p3", "p4"]) == {"p1": first, "p2": second, "p3": second}
    many = [f"x{number}" for number in range(2000)]
    assert store.find_parts([*many, "p1"]) == {"p1": first}
    assert store.consumers(source.key) == [second, first]
    shutil.rmtree(second.path)
    assert store.find_parts(["p2", "p3"]) == {"p2": first}


def test_lineage_reaches_back_and_keeps_the_names_of_what_is_gone(store: Store) -> None:
    made = [build(store)[0]]
    for seed, kind in ((1, "probes"), (2, "directions")):
        staging = store.stage(make_key(document(seed)))
        staging.write_json("x.json", seed)
        made.append(commit(staging, document(seed), kind=kind, inputs={"source": made[-1]}))
    tree = store.lineage(made[2])
    assert (tree.artifact, tree.inputs[0].artifact, tree.inputs[0].inputs[0].artifact) == (made[2], made[1], made[0])
    shutil.rmtree(made[0].path)
    gone = store.lineage(made[2]).inputs[0].inputs[0]
    assert (gone.role, gone.artifact, gone.key, gone.name) == ("source", None, made[0].key, made[0].name)


def test_a_filesystem_without_hard_links_still_commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = build(Store(store.root / "linked"))[0]

    def refuse(*_arguments: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    artifact, _ = build(store)
    assert (artifact.content_digest, artifact.name) == (expected.content_digest, expected.name)
    assert build(store, seed=1)[0].version == 2
    assert store.verify(deep=True) == []
