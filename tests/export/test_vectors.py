"""Vectors of other tools: written, read again, and measured by logits against plain hooks where each tool adds them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pasctl.errors import InputError, MissingError
from pasctl.export.vectors import FORMATS
from pasctl.export.vectors.vector_format import Vectors
from pasctl.models.load import LoadedModel, load_model
from pasctl.models.options import ModelOptions
from pasctl.stages.control_vector import ControlVector, export_control_vector
from pasctl.stages.import_vector import import_vector, read_vectors
from pasctl.stages.inspect import inspect_checkpoint
from pasctl.stages.job import Outcome
from pasctl.stages.target import intervention
from pasctl.steering import steer
from pasctl.store import Store
from tests.export.planted import ALPHA, plant
from tests.steering.test_hooks import logits
from tests.tiny import HIDDEN, LAYERS

NAMES = {
    "llama.cpp": ".gguf",
    "repeng": ".gguf",
    "easysteer": ".gguf",
    "steering-vectors": ".safetensors",
    "vllm-lens": ".json",
}
FP32 = ModelOptions(dtype="float32")
IDS = torch.randint(10, 400, (2, 9), generator=torch.Generator().manual_seed(2))
WHO = {"alpha": ALPHA, "persona": "ada"}


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Path]:
    """A tiny model, and the folder that holds it and a store with directions of it."""
    folder = tmp_path_factory.mktemp("home")
    model, _ = plant(folder, request.param)
    return load_model(str(model), dtype="float32"), folder


@contextmanager
def hooked(model: LoadedModel, where: str, vectors: dict[int, Tensor]) -> Iterator[None]:
    """The oracle: vectors added to the first output of `layers.N`, or of its submodule."""
    handles = []
    for layer, vector in vectors.items():

        def hook(module: nn.Module, args: Any, output: Any, vector: Tensor = vector) -> Any:
            return (output[0] + vector, *output[1:]) if isinstance(output, tuple) else output + vector

        block: nn.Module = model.model.model.layers[layer]
        handles.append((block.get_submodule(where) if where else block).register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def foreign_logits(model: LoadedModel, name: str, path: Path) -> Tensor:
    """What a tool makes of a file, read here without pasctl."""
    if NAMES[name] == ".gguf":
        tensors = gguf.GGUFReader(path).tensors
        vectors = {int(tensor.name.split(".")[1]): torch.from_numpy(np.array(tensor.data)) for tensor in tensors}
        with hooked(model, "", vectors):
            return logits(model, IDS)
    if name == "vllm-lens":
        said = json.loads(path.read_text())
        numbers = np.frombuffer(base64.b64decode(said["activations"]["data"]), np.float32)
        rows = torch.from_numpy(numbers.copy()).view(said["activations"]["shape"]) * said["scale"]
        with hooked(model, "", dict(zip(said["layer_indices"], rows, strict=True))):
            return logits(model, IDS)
    tensors = load_file(path)
    with hooked(model, "self_attn", {int(key.split(".")[1]): vector for key, vector in tensors.items()}):
        return logits(model, IDS)


def export(home: tuple[LoadedModel, Path], path: Path, name: str, **more: Any) -> ControlVector:
    how = {"vector_format": name, "store": home[1] / "store", "options": FP32, **WHO, **more}
    return export_control_vector("directions", path, **how)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_measured_as_what_its_reader_does(name: str, home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    model, path = home[0], tmp_path / f"ada{NAMES[name]}"
    made = export(home, path, name)
    assert (made.format, made.without) == (name, (0,) if name == "llama.cpp" else ())
    assert made.layers == ((2,) if name == "llama.cpp" else (0, 2))
    exact = name == "steering-vectors"
    assert made.at == ("attention" if exact else "block")
    proof = made.proof
    assert proof is not None
    assert proof.effect_mean > 0.1
    moved = intervention(model, **WHO, store=home[1] / "store")
    with steer(model, moved):
        steered = logits(model, IDS)
    off = (foreign_logits(model, name, path) - steered).abs().max()
    if exact:
        assert proof.fault() is None
        assert off < 1e-4
    else:
        assert 0.01 < proof.mean < 1.5 * proof.effect_mean
        assert off > 0.01
    found = inspect_checkpoint(path, base=str(home[1] / f"tiny-{model.adapter.family}"), store=home[1] / "store")
    assert (found.kind, found.strength, found.matches[0].persona) == ("vector", ALPHA, "ada")
    assert found.matches[0].alpha == pytest.approx(ALPHA, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_imported_steers_as_its_reader_does(
    name: str, home: tuple[LoadedModel, Path], tmp_path: Path
) -> None:
    model, path = home[0], tmp_path / f"ada{NAMES[name]}"
    export(home, path, name)
    store = tmp_path / "store"
    outcome = import_vector(path, model, store=store)
    assert isinstance(outcome, Outcome)
    moved = intervention(model, store=store)  # of the one persona, at alpha 1
    with steer(model, moved):
        found = logits(model, IDS)
    torch.testing.assert_close(found, foreign_logits(model, name, path), atol=1e-4, rtol=1e-4)
    assert (found - logits(model, IDS)).abs().max() > 0.1
    again = export_control_vector("directions", tmp_path / f"again{NAMES[name]}", vector_format=name, store=store)
    assert again.persona == "ada"
    assert again.proof is not None
    assert again.proof.fault() is None  # what came as a vector goes as one
    for layer, vector in read_vectors(path).layers.items():
        torch.testing.assert_close(read_vectors(again.path).layers[layer], vector, atol=1e-5, rtol=1e-5)


def test_a_strength_is_not_chosen_for_what_was_imported(home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    from pasctl import choose_alpha

    export(home, tmp_path / "ada.json", "vllm-lens")
    import_vector(tmp_path / "ada.json", home[0], persona="Other", store=tmp_path / "store")
    [artifact] = Store(tmp_path / "store").artifacts("directions")
    assert artifact.label == "other"
    with pytest.raises(InputError, match="was imported"):
        choose_alpha(directions=artifact, store=tmp_path / "store")


def test_vectors_of_another_model_are_refused(home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    wide = {"layer_activations.0": torch.ones(HIDDEN + 1)}
    late = {f"layer_activations.{LAYERS}": torch.ones(HIDDEN)}
    for tensors in (wide, late):
        save_file(tensors, tmp_path / "x.safetensors")
        with pytest.raises(InputError, match=f"has {LAYERS} such layers of {HIDDEN}"):
            import_vector(tmp_path / "x.safetensors", home[0], store=tmp_path / "store")


def lens(**changed: Any) -> str:
    """A vector as vllm-lens' `model_dump_json` writes it, but for zstd."""
    numbers = {"data": base64.b64encode(np.ones((1, 4), "<f4").tobytes()).decode(), "dtype": "float32", "shape": [1, 4]}
    said = {"activations": numbers | changed.pop("numbers", {}), "layer_indices": [1], "scale": 2.0}
    return json.dumps(said | changed)


def test_a_vector_of_vllm_lens_has_its_scale_and_dtype(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(lens())
    assert read_vectors(path).layers[1].tolist() == [2.0] * 4
    half = torch.full((1, 4), 0.5, dtype=torch.bfloat16).view(torch.int16).numpy()
    bits = {"data": base64.b64encode(half.tobytes()).decode(), "dtype": "int16", "original_dtype": "torch.bfloat16"}
    path.write_text(f"[{lens(numbers=bits)}]")
    assert read_vectors(path).layers[1].tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"norm_match": True}, "norm_match, so its shift depends on each token"),
        ({"position_indices": [3]}, "vectors per position"),
        ({"layer_indices": [1, 2]}, "layer_indices that do not name its 1 vectors' layers"),
        ({"layer_indices": ["1"]}, "layer_indices that do not name"),
        ({"scale": "2"}, "has the scale '2'"),
        ({"numbers": {"shape": [2, 4]}}, "have 16 bytes, their shape and dtype 32"),
        ({"numbers": {"shape": [1, -4]}}, "have the shape"),
        ({"numbers": {"data": "no base64"}}, "are no base64"),
        ({"numbers": {"dtype": "object"}}, "are no tensor of"),
        ({"numbers": {"data": base64.b64encode(np.full((1, 4), np.nan, "<f4")).decode()}}, "not finite"),
    ],
)
def test_vectors_that_are_no_constant_shift_are_refused(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(lens(**changed))
    with pytest.raises(InputError, match=words):
        read_vectors(tmp_path / "v.json")


def test_files_that_are_no_vectors_are_refused_in_one_line(home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    torch.save({3: torch.ones(4)}, tmp_path / "v.pt")
    with pytest.raises(InputError, match="is pickled") as caught:
        read_vectors(tmp_path / "v.pt")
    assert "safetensors.torch.save_file" in str(caught.value.hint)
    save_file({"other": torch.ones(4)}, tmp_path / "v.safetensors")
    with pytest.raises(InputError, match="has no tensors layer_activations"):
        read_vectors(tmp_path / "v.safetensors")
    save_file({"layer_activations.1": torch.ones(4)}, tmp_path / "v.safetensors", metadata={"layer_type": "mlp"})
    with pytest.raises(InputError, match="layer type mlp, expected decoder_block or self_attn"):
        read_vectors(tmp_path / "v.safetensors")
    save_file({"layer_activations.1": torch.ones(4)}, tmp_path / "v.safetensors")  # the package's default
    assert read_vectors(tmp_path / "v.safetensors").at == "block"
    (tmp_path / "v.txt").write_text("1 2 3")
    with pytest.raises(InputError, match=r"ends in \.txt, expected one of"):
        read_vectors(tmp_path / "v.txt")
    with pytest.raises(MissingError, match="no such file"):
        read_vectors(tmp_path / "none.gguf")
    with pytest.raises(InputError, match=r"ends in \.txt, expected \.gguf \(llama\.cpp\)"):
        export(home, tmp_path / "new.txt", "auto")
    with pytest.raises(InputError, match="unknown vector format 'repent'"):
        export(home, tmp_path / "new.gguf", "repent")
    with pytest.raises(InputError, match=r"ends in \.gguf, expected a file name that ends in \.json"):
        export(home, tmp_path / "new.gguf", "vllm-lens")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_in_a_way_is_left_as_it_is(name: str, home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    path = tmp_path / f"mine{NAMES[name]}"
    path.write_text("{}")
    with pytest.raises(InputError, match="is no control vector"):
        export(home, path, name, force=True)
    assert path.read_text() == "{}"
    assert FORMATS.get(name).suffix == NAMES[name]


def test_a_zstd_frame_is_read_no_further_than_its_shape_says(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(np.ones((1, 4), "<f4").tobytes())
    numbers = {"data": base64.b64encode(packed).decode(), "compression": "zstd"}
    path = tmp_path / "v.json"
    path.write_text(lens(numbers=numbers))
    assert isinstance(read_vectors(path), Vectors)
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 24))
    path.write_text(lens(numbers={**numbers, "data": base64.b64encode(bomb).decode()}))
    with pytest.raises(InputError, match="have 17 bytes"):
        read_vectors(path)
