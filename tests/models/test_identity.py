"""A model's identity: equal for equal contents, different for any other, known without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.models import digests
from pasctl.models.identity import resolve_model
from pasctl.models.shards import read_weight_names
from tests.models.chat_templates import LLAMA3
from tests.tiny import save_tiny


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    digests._DIGESTS.clear()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "Tiny Qwen3")


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def identity(path: Path) -> dict:
    return resolve_model(str(path)).identity


def age(path: Path, seconds: float = 60) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def flip_a_byte(file: Path) -> None:
    """Change the last byte, which is a weight's, and keep the size."""
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_folder_source(saved):
    source = resolve_model(str(saved))
    assert (source.kind, source.path, source.slug, source.family) == ("folder", saved, "tiny-qwen3", "qwen3")
    assert (source.repo, source.sha) == (None, None)
    assert json.loads(json.dumps(source.identity, allow_nan=False)) == source.identity


def test_the_same_contents_elsewhere_are_the_same_model(saved, folder, monkeypatch):
    assert identity(folder) == identity(saved)
    monkeypatch.chdir(folder.parent)
    assert resolve_model("./model").identity == identity(saved)
    assert resolve_model("model").identity == identity(saved)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.safetensors", "weights"),
        ("config.json", "config"),
        ("tokenizer.json", "tokenizer"),
        ("tokenizer_config.json", "tokenizer"),
        ("chat_template.jinja", "tokenizer"),
    ],
)
def test_any_changed_file_changes_its_part_alone(saved, folder, name, part):
    file = folder / name
    if name.endswith(".safetensors"):
        flip_a_byte(file)
    else:
        file.write_text(file.read_text() + "\n")
    before, after = identity(saved), identity(folder)
    assert {key for key in before if before[key] != after[key]} == {part}


@pytest.mark.parametrize("name", ["chat_template.json", "additional_chat_templates/tool.jinja", "merges.txt"])
def test_an_added_tokenizer_file_changes_the_identity(saved, folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(LLAMA3)
    assert identity(folder)["tokenizer"] != identity(saved)["tokenizer"]


def test_contents_under_another_name_are_another_model(saved, folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    with pytest.raises(MissingError, match=r"model\.safetensors is missing"):  # no index: it would not be loaded
        identity(folder)
    shard = folder / "model-00001-of-00001.safetensors"
    weight_map = dict.fromkeys(read_weight_names(shard), shard.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert identity(folder)["weights"] != identity(saved)["weights"]


def test_files_that_do_not_matter_do_not_count(saved, folder):
    (folder / "README.md").write_text("hello")
    assert identity(folder) == identity(saved)


def test_touching_files_changes_nothing(saved, folder):
    before = identity(folder)
    for file in folder.iterdir():
        age(file, 1000)
    assert identity(folder) == before


def test_a_hash_is_remembered_and_a_changed_file_is_read_again(folder, monkeypatch):
    weights = folder / "model.safetensors"
    monkeypatch.setattr(digests, "RACY_SECONDS", 0.0)
    first = digests.file_sha256(weights)
    reads: list[Path] = []
    real = digests._hash
    monkeypatch.setattr(digests, "_hash", lambda path: (reads.append(path), real(path))[1])
    assert digests.file_sha256(weights) == first
    assert reads == []
    flip_a_byte(weights)
    assert digests.file_sha256(weights) != first
    assert reads == [weights]


def test_a_file_that_was_just_written_is_not_remembered(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    digests.file_sha256(weights)
    assert not list(digests._cache_dir().glob("*.json"))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stamp": {}, "sha256": 5}', '{"stamp": {}, "sha256": "abc"}'])
def test_a_damaged_note_is_ignored_and_replaced(folder, monkeypatch, damage):
    monkeypatch.setattr(digests, "RACY_SECONDS", 0.0)
    weights = folder / "model.safetensors"
    first = digests.file_sha256(weights)
    (note,) = digests._cache_dir().glob("*.json")
    note.write_text(damage)
    digests._DIGESTS.clear()  # another process
    assert digests.file_sha256(weights) == first
    assert json.loads(note.read_text())["sha256"] == first


def test_a_cache_that_cannot_be_written_is_ignored(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    expected = identity(folder)
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(digests, "RACY_SECONDS", 0.0)
    reads: list[Path] = []
    real = digests._hash
    monkeypatch.setattr(digests, "_hash", lambda path: (reads.append(path), real(path))[1])
    assert identity(folder) == expected
    assert reads
    once = list(reads)
    assert identity(folder) == expected
    assert reads == once, "a process reads a file once, whether or not it can note that down"


def test_resolving_loads_neither_torch_nor_transformers(saved):
    code = (
        "import sys; from pasctl.models.identity import resolve_model; resolve_model(sys.argv[1]);"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(saved)], check=True)


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="only pickled weights") as caught:
        resolve_model(str(folder))
    assert "safetensors" in caught.value.hint


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_incomplete_folder_is_told_by_what_is_missing(folder, name):
    (folder / name).unlink()
    with pytest.raises(MissingError, match=f"{name} is missing") as caught:
        resolve_model(str(folder))
    assert caught.value.exit_code == 3


def test_an_incomplete_set_of_shards_is_told_by_the_missing_one(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(MissingError, match=r"model-00002-of-00002\.safetensors is missing"):
        resolve_model(str(folder))


def test_a_config_that_is_no_json_is_told(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not JSON"):
        resolve_model(str(folder))


@pytest.mark.parametrize("spec", ["./none", "/none/there", "~/none-there", "none.gguf", "a/b/c", ""])
def test_a_path_that_is_not_there_is_missing_without_asking_the_hub(spec):
    with pytest.raises(MissingError, match="no such file or folder"):
        resolve_model(spec)


@pytest.mark.parametrize("spec", ["qwen3", "Qwen/", "two words/model", "org/mo del"])
def test_words_that_are_no_hub_id_are_told(spec):
    with pytest.raises(MissingError, match="org/name"):
        resolve_model(spec)


def test_a_local_model_has_no_revision(saved):
    with pytest.raises(InputError, match="no revision"):
        resolve_model(str(saved), revision="v1")


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no \.gguf"):
        resolve_model(str(tmp_path / "model.bin"))


def test_a_damaged_gguf_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04 not it")
    with pytest.raises(InputError, match="is not a GGUF file"):
        resolve_model(str(tmp_path / "model.gguf"))


def test_gguf_identity_is_its_contents(tmp_path):
    from tests.models.test_gguf_header import _header, _pair, _text

    content = _header(_pair("general.architecture", 8, _text("qwen3")))
    for name, data in (("A Model.Q4.gguf", content), ("b.gguf", content), ("c.gguf", content + b"\0")):
        (tmp_path / name).write_bytes(data)
    first, same, other = (resolve_model(str(tmp_path / name)) for name in ("A Model.Q4.gguf", "b.gguf", "c.gguf"))
    assert (first.kind, first.family, first.slug) == ("gguf", "qwen3", "a-model.q4")
    assert first.identity == same.identity != other.identity
