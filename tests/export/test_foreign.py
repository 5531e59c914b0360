"""The tools themselves read what pasctl writes, and write what it reads: `make test-vectors` installs them.

Skipped where they are not. Logits of a tiny model decide; EasySteer, which is on no package index, is read from a file
of its repository that PASCTL_EASYSTEER names: easysteer/steer/utils.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from pasctl.models.load import LoadedModel, load_model
from pasctl.models.options import ModelOptions
from pasctl.stages.control_vector import ControlVector, export_control_vector
from pasctl.stages.import_vector import import_vector, read_vectors
from pasctl.stages.target import intervention
from pasctl.steering import steer
from tests.export.planted import ALPHA, plant
from tests.export.test_vectors import hooked
from tests.steering.test_hooks import logits
from tests.tiny import HIDDEN

IDS = torch.randint(10, 400, (2, 9), generator=torch.Generator().manual_seed(2))
WHO = {"alpha": ALPHA, "persona": "ada"}
VECTORS = {layer: torch.randn(HIDDEN, generator=torch.Generator().manual_seed(layer)) for layer in (0, 2)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Path]:
    folder = tmp_path_factory.mktemp("home")
    model, _ = plant(folder, "llama")
    return load_model(str(model), dtype="float32"), folder


def written(home: tuple[LoadedModel, Path], path: Path, name: str) -> ControlVector:
    how = {"vector_format": name, "store": home[1] / "store", "options": ModelOptions(dtype="float32"), **WHO}
    return export_control_vector("directions", path, **how)


def steered(home: tuple[LoadedModel, Path]) -> Tensor:
    with steer(home[0], intervention(home[0], **WHO, store=home[1] / "store")):
        return logits(home[0], IDS)


def imported(model: LoadedModel, path: Path) -> Tensor:
    """What pasctl makes of a file at alpha 1."""
    store = path.parent / "imported"
    import_vector(path, model, store=store)
    with steer(model, intervention(model, store=store)):
        return logits(model, IDS)


def near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_repeng(home: tuple[LoadedModel, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "float_", np.float64, raising=False)  # repeng 0.4 was written for numpy 1
    repeng: Any = pytest.importorskip("repeng")
    model, path = home[0], tmp_path / "ada.gguf"
    made = written(home, path, "repeng")
    vector = repeng.ControlVector.import_gguf(path)
    assert vector.model_type == "llama"
    assert sorted(vector.directions) == [0, 2]
    controlled = repeng.ControlModel(model.model, [0, 2])
    try:
        controlled.set_control(vector)
        with torch.inference_mode():
            positions = torch.arange(IDS.shape[1]).expand_as(IDS)  # it finds padding by them, in every row
            theirs = controlled(IDS, position_ids=positions, use_cache=False).logits
    finally:
        controlled.unwrap()
    near(imported(model, path), theirs)
    assert made.proof is not None
    assert made.proof.mean > 0.01  # an approximation, as it says
    assert (theirs - steered(home)).abs().max() > 0.01
    own = repeng.ControlVector("llama", {layer: each.numpy() for layer, each in VECTORS.items()})
    own.export_gguf(tmp_path / "own.gguf")
    with hooked(model, "", VECTORS):
        expected = logits(model, IDS)
    near(imported(model, tmp_path / "own.gguf"), expected)


def test_steering_vectors(home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    package: Any = pytest.importorskip("steering_vectors")
    model, path = home[0], tmp_path / "ada.safetensors"
    made = written(home, path, "steering-vectors")
    with safe_open(path, framework="pt") as file:
        layers = {int(name.split(".")[1]): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        vector = package.SteeringVector(layers, file.metadata()["layer_type"])
    with vector.apply(model.model):
        theirs = logits(model, IDS)
    near(theirs, steered(home))  # exact
    assert made.proof is not None
    assert made.proof.fault() is None
    near(imported(model, path), theirs)


def test_vllm_lens(home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    lens: Any = pytest.importorskip("vllm_lens")
    model, path = home[0], tmp_path / "ada.json"
    written(home, path, "vllm-lens")
    vector = lens.SteeringVector.model_validate(json.loads(path.read_text()))
    assert (vector.layer_indices, vector.scale, vector.norm_match) == ([0, 2], 1.0, False)
    with hooked(model, "", dict(zip(vector.layer_indices, vector.activations, strict=True))):
        theirs = logits(model, IDS)
    near(imported(model, path), theirs)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):  # its own files: zstd, in the tensor's dtype
        rows = torch.stack(list(VECTORS.values())).to(dtype)
        own = lens.SteeringVector(activations=rows, layer_indices=list(VECTORS), scale=0.5)
        (tmp_path / "own.json").write_text(own.model_dump_json())
        for layer, row in zip(VECTORS, rows, strict=True):
            near(read_vectors(tmp_path / "own.json").layers[layer], 0.5 * row.float())


def test_easysteer(home: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    source = os.environ.get("PASCTL_EASYSTEER")
    if not source:
        pytest.skip("PASCTL_EASYSTEER names no easysteer/steer/utils.py")
    spec = importlib.util.spec_from_file_location("easysteer_utils", source)
    assert spec is not None
    assert spec.loader is not None
    package: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    model, path = home[0], tmp_path / "ada.gguf"
    written(home, path, "easysteer")
    vector = package.StatisticalControlVector.import_gguf(path)
    assert (vector.model_type, vector.method) == ("llama", "pasctl")
    with hooked(model, "", {layer: torch.from_numpy(np.array(each)) for layer, each in vector.directions.items()}):
        theirs = logits(model, IDS)
    near(imported(model, path), theirs)
    own = package.StatisticalControlVector(
        model_type="llama", method="pca", directions={layer: each.numpy() for layer, each in VECTORS.items()}
    )
    own.export_gguf(tmp_path / "own.gguf")
    for layer, each in VECTORS.items():
        near(read_vectors(tmp_path / "own.gguf").layers[layer], each)
