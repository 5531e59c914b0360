"""What is hashed is what is loaded: each way to load something else is refused, or is in the key."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pasctl.errors import InputError, PasctlError
from pasctl.models import load as loading
from pasctl.models.digests import files_sha256
from pasctl.models.identity import resolve_model
from pasctl.models.load import load_model
from pasctl.models.model_files import list_model_files, own_ends
from pasctl.models.weights import read_tokenizer, read_weights
from pasctl.stages.model import ModelHandle
from tests.tiny import hub_cache_layout, save_tiny

INDEX = "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def sharded(folder) -> Path:
    """The same model in two shards and an index."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({name: weights[name] for name in held}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    write_index(folder, {name: file for file, held in parts.items() for name in held})
    return folder


def write_index(folder: Path, weight_map: dict[str, Any]) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def weight_map(folder: Path) -> dict[str, Any]:
    return json.loads((folder / INDEX).read_text())["weight_map"]


def identity(folder: Path) -> dict[str, Any]:
    return resolve_model(str(folder)).identity


def change(file: Path, **values: Any) -> None:
    """Give the object in a JSON file other values."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_shards_give_the_model_that_one_file_gave(saved, sharded):
    ids = torch.tensor([[5, 6, 7]])
    one, two = (load_model(str(path), dtype="float32", device="cpu").model(ids).logits for path in (saved, sharded))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    "name",
    [
        "weights.bin",
        "../outside.safetensors",
        "/outside.safetensors",
        "sub/in.safetensors",
        "a\\b.safetensors",
        "x" * 300 + ".safetensors",
        "x" * 5000 + ".safetensors",
        "",
        5,
    ],
)
def test_an_index_names_only_safetensors_of_its_folder(sharded, name):
    shard = sharded / "model-00002-of-00002.safetensors"
    (sharded / "sub").mkdir()
    for place in (sharded / "weights.bin", sharded.parent / "outside.safetensors", sharded / "sub" / "in.safetensors"):
        shutil.copy(shard, place)
    moved = {weight: name if file == shard.name else file for weight, file in weight_map(sharded).items()}
    write_index(sharded, moved)
    with pytest.raises(InputError, match=r"expected a \.safetensors file of the same folder"):
        resolve_model(str(sharded))


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 10_000, "\x00"])
def test_an_index_without_a_weight_map_is_one_line(sharded, content):
    (sharded / INDEX).write_text(content)
    with pytest.raises(InputError, match="no readable weight_map") as caught:
        resolve_model(str(sharded))
    assert "\n" not in caught.value.message


def test_an_index_agrees_with_its_shards(sharded):
    whole = weight_map(sharded)
    weight = min(whole)
    write_index(sharded, {name: file for name, file in whole.items() if name != weight})
    with pytest.raises(InputError, match=f"does not say that .* holds the weight {weight}"):
        resolve_model(str(sharded))
    write_index(sharded, whole | {"model.none.weight": whole[weight]})
    with pytest.raises(InputError, match=r"the weight model\.none\.weight into .* does not hold it"):
        resolve_model(str(sharded))


@pytest.mark.parametrize("header", [b"", struct.pack("<Q", 1 << 62), struct.pack("<Q", 2) + b"[]", pickle.dumps([1])])
def test_a_shard_that_is_none_is_one_line(sharded, header):
    (sharded / "model-00001-of-00002.safetensors").write_bytes(header)
    with pytest.raises(InputError, match=r"is no \.safetensors file"):
        resolve_model(str(sharded))


def test_the_digest_is_of_what_is_opened_and_of_nothing_else(sharded):
    before = identity(sharded)
    assert before["weights"] == files_sha256(sharded, sharded.glob("*.safetensors*"))  # as keys have always had it
    shutil.copy(sharded / "model-00001-of-00002.safetensors", sharded / "spare.safetensors")
    assert identity(sharded) == before
    shard = sharded / "model-00002-of-00002.safetensors"
    save_file({name: 1.5 * weight for name, weight in load_file(shard).items()}, shard, metadata={"format": "pt"})
    assert {name for name, value in identity(sharded).items() if value != before[name]} == {"weights"}


def test_a_link_out_of_the_folder_is_refused_and_one_within_it_is_not(folder, tmp_path):
    weights = folder / "model.safetensors"
    outside = weights.rename(tmp_path / "outside.safetensors")
    weights.symlink_to(outside)
    with pytest.raises(InputError, match=r"is a link to .*outside\.safetensors"):
        resolve_model(str(folder))
    weights.unlink()
    outside.rename(folder / "kept.safetensors")
    weights.symlink_to("kept.safetensors")
    assert resolve_model(str(folder)).family == "qwen3"
    (tmp_path / "here").symlink_to(folder, target_is_directory=True)
    assert identity(tmp_path / "here") == identity(folder)


def test_a_snapshot_of_the_hubs_cache_is_a_folder_like_any_other(saved, tmp_path):
    sha = hub_cache_layout(tmp_path / "hub", "org/tiny", saved)
    snapshot = tmp_path / "hub" / "models--org--tiny" / "snapshots" / sha
    assert identity(snapshot) == identity(saved)
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(saved / "model.safetensors")
    with pytest.raises(InputError, match="is a link to"):
        resolve_model(str(snapshot))


def test_what_would_load_other_weights_is_refused(folder):
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    config = (folder / "config.json").read_text()
    change(folder / "config.json", transformers_weights="other.safetensors")
    with pytest.raises(InputError, match="transformers_weights"):
        resolve_model(str(folder))
    (folder / "config.json").write_text(config)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(InputError, match=r"adapter_config\.json"):
        resolve_model(str(folder))


def test_files_for_one_version_of_transformers_are_in_the_key(folder):
    before = identity(folder)
    for file, name, other in (
        ("config.json", "configuration_files", "config.5.0.0.json"),
        ("tokenizer_config.json", "fast_tokenizer_files", "tokenizer.5.0.0.json"),
    ):
        change(folder / file, **{name: [other]})
        named = identity(folder)
        assert "others" not in named
        (folder / other).write_text("{}")
        assert identity(folder)["others"] != before.get("others")
        (folder / other).unlink()
        change(folder / file, **{name: [f"{other[:-5]}/../../x.json"]})
        with pytest.raises(InputError, match=name):
            resolve_model(str(folder))
        change(folder / file, **{name: None})


def test_code_is_in_the_key_where_the_folder_names_code(folder):
    before = identity(folder)
    (folder / "own.py").write_text("x = 1\n")
    assert identity(folder) == before  # nothing would run it
    change(folder / "config.json", auto_map={"AutoConfig": "own.C"})
    first = identity(folder)
    (folder / "sub").mkdir()
    (folder / "sub" / "more.py").write_text("y = 1\n")
    second = identity(folder)
    (folder / "own.py").write_text("x = 2\n")
    assert len({first["code"], second["code"], identity(folder)["code"]}) == 3


@pytest.mark.parametrize("reference", ["org/repo--own.C", "../own.C", "/own.C", "none.C", "link/own.C", "own"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_others_is_not_run(folder, tmp_path, file, reference):
    mark = tmp_path / "ran"
    for place in (folder, tmp_path):
        (place / "own.py").write_text(f"open({str(mark)!r}, 'w')\nC = None\n")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "own.py", tmp_path / "elsewhere")
    (folder / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    change(folder / file, auto_map={"AutoConfig": reference, "AutoTokenizer": [reference, None]})
    with pytest.raises(InputError, match="which is not a file of this model"):
        load_model(str(folder), trust_remote_code=True)
    assert not mark.exists()
    load_model(str(folder))  # the family is transformers' own: without trust its code does the work
    assert not mark.exists()


def test_a_file_that_changes_while_it_is_read_is_noticed(folder, monkeypatch):
    read = loading.read_weights

    def reading(path: Path, **options: Any) -> Any:
        model = read(path, **options)
        weights = load_file(path / "model.safetensors")
        save_file({name: 1.5 * weight for name, weight in weights.items()}, path / "new", metadata={"format": "pt"})
        (path / "new").replace(path / "model.safetensors")
        return model

    monkeypatch.setattr(loading, "read_weights", reading)
    with pytest.raises(PasctlError, match=r"changed while it was read: .*model\.safetensors"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "vocab.txt", "generation_config.json"])
def test_a_file_that_changed_since_its_digest_is_noticed(folder, name):
    source = resolve_model(str(folder))
    file = folder / name
    file.write_bytes(file.read_bytes() if file.exists() else b"a")
    os.utime(file, (1, 1))
    with pytest.raises(PasctlError, match="changed while it was read"):
        load_model(source)


def test_end_tokens_of_its_own_are_in_the_keys_of_texts_and_in_no_others(folder):
    assert own_ends(folder) is None
    plain = ModelHandle(str(folder))
    numerics = plain.numerics(0)
    assert numerics == plain.numerics(0, writes=True)
    change(folder / "generation_config.json", eos_token_id=[1, 7], temperature=0.6)
    handle = ModelHandle(str(folder))
    assert handle.identity == plain.identity
    assert handle.numerics(0) == numerics
    assert handle.numerics(0, writes=True) == numerics | {"ends": [1, 7]}


class Opened:
    """The files that this process opens while the context lasts.

    Python's audit hooks see all that Python opens, wherever it is; inotify sees what Rust opens in the folders watched.
    """

    recording: Opened | None = None
    hooked = False

    def __init__(self, *folders: Path) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK)
        below = {folder for top in folders for folder in (top, *(path for path in top.rglob("*") if path.is_dir()))}
        self.watched = {self.libc.inotify_add_watch(self.descriptor, os.fsencode(path), 0x20): path for path in below}
        self.files: set[Path] = set()
        if not Opened.hooked:  # there is no way to take a hook out again
            sys.addaudithook(self._hear)
            Opened.hooked = True

    @staticmethod
    def _hear(event: str, arguments: tuple[Any, ...]) -> None:
        if Opened.recording is not None and event == "open" and isinstance(arguments[0], str):
            Opened.recording.files.add(Path(arguments[0]).absolute())

    def __enter__(self) -> Opened:
        Opened.recording = self
        return self

    def __exit__(self, *_: object) -> None:
        Opened.recording = None
        data = b""
        while True:
            try:
                data += os.read(self.descriptor, 1 << 20)
            except BlockingIOError:
                break
        os.close(self.descriptor)
        while data:
            watch, mask, _, length = struct.unpack_from("iIII", data)
            name, data = data[16 : 16 + length].rstrip(b"\0"), data[16 + length :]
            if name and not mask & 0x40000000:  # of a folder
                self.files.add(self.watched[watch] / os.fsdecode(name))


def decoys(folder: Path) -> None:
    """All kinds of files that some way of loading a model opens."""
    for name in ("pytorch_model.bin", "model.bin", "weights.pt", "training_args.bin", "adapter_model.bin"):
        (folder / name).write_bytes(pickle.dumps([1]))
    for name in ("model.fp16.safetensors", "adapter_model.safetensors", "consolidated.safetensors"):
        save_file({"a": torch.ones(2)}, folder / name)
    for name in ("config.5.0.0.json", "tokenizer.5.0.0.json", "processor_config.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    for name in ("quantize_config.json", "quant_config.json", "params.json", "pytorch_model.bin.index.json"):
        (folder / name).write_text("{}")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("def generate(*_, **__): pass\n")
    (folder / "evil.py").write_text("C = None\n")
    (folder / "sub").mkdir()
    shutil.copy(folder / "config.json", folder / "sub")
    (folder.parent / "tokenizer.json").write_text("{}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify")
@pytest.mark.parametrize("trust", [False, True])
def test_transformers_opens_the_listed_files_and_no_others(sharded, trust):
    """The oracle is the system: what is opened in the folder and beside it, by Python and by Rust."""
    decoys(sharded)
    listed = list_model_files(sharded)
    with Opened(sharded, sharded.parent) as opened:
        read_weights(sharded, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=trust)
        read_tokenizer(sharded, trust_remote_code=trust)
    ours = {path for path in opened.files if sharded.parent in path.parents and "modules" not in path.parts}
    assert ours - {path for path in ours if path.is_dir()} <= set(listed)
    assert {path for path in ours if path.suffix == ".safetensors"} == set(listed.weights[1:])
    assert {listed.config, listed.weights[0], sharded / "tokenizer.json"} <= ours
    assert (sharded / "custom_generate" / "generate.py" in ours) == trust
    assert sharded / "custom_generate" / "generate.py" in listed.code
