"""A control vector file holds W_o d of each layer but the first, and is measured as what llama.cpp does with it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from pasctl.errors import InputError
from pasctl.export.control_vector import adding, vectors_of
from pasctl.export.vectors.gguf import LlamaCpp
from pasctl.models.load import LoadedModel
from pasctl.stages.control_vector import export_control_vector
from pasctl.stages.target import intervention
from pasctl.steering import Intervention
from tests.export.planted import ALPHA, plant
from tests.steering.test_hooks import WIDTH, logits, random_intervention
from tests.tiny import FAMILIES, LAYERS, tiny_loaded

IDS = torch.randint(10, 400, (2, 9), generator=torch.Generator().manual_seed(2))


def mlp_biases(model: LoadedModel, vectors: dict[int, torch.Tensor]) -> torch.Tensor:
    """Logits with the vectors as biases of down_proj, whose output the layer adds to the stream last."""
    for layer, vector in vectors.items():
        model.model.model.layers[layer].mlp.down_proj.bias = torch.nn.Parameter(vector, requires_grad=False)
    return logits(model, IDS)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "qwen3_moe"])
def test_a_vector_behind_a_layer_is_a_bias_of_what_it_adds_last(family: str) -> None:
    model = tiny_loaded(family)
    vectors, plain = vectors_of(model, random_intervention(5), LlamaCpp()), logits(model, IDS)
    assert min(vectors.layers) > 0
    with adding(model, vectors):
        found = logits(model, IDS)
    assert (found - plain).abs().max() > 0.1
    assert torch.equal(logits(model, IDS), plain)
    torch.testing.assert_close(found, mlp_biases(model, dict(vectors.layers)), atol=1e-5, rtol=1e-5)


def test_the_first_layer_has_no_place_for_one() -> None:
    with pytest.raises(InputError, match="in layers below 1 alone"):
        vectors_of(tiny_loaded(), Intervention({0: torch.ones(1, WIDTH)}), LlamaCpp())


def test_the_file_has_what_llama_cpp_asks_for(tmp_path: Path) -> None:
    model, store = plant(tmp_path, "llama")
    how = {"alpha": ALPHA, "persona": "ada", "store": store}
    planned = export_control_vector("directions", tmp_path / "ada.gguf", dry_run=True, **how)
    assert (planned.layers, planned.without, planned.proof) == ((2,), (0,), None)
    assert not (tmp_path / "ada.gguf").exists()
    made = export_control_vector("directions", tmp_path / "ada.gguf", **how)
    reader = gguf.GGUFReader(tmp_path / "ada.gguf")
    told = {name: field.contents() for name, field in reader.fields.items()}
    assert told["general.architecture"] == "controlvector"
    assert (told["controlvector.model_hint"], told["controlvector.layer_count"]) == ("llama", LAYERS)
    [tensor] = reader.tensors
    assert (tensor.name, tensor.tensor_type.name) == ("direction.2", "F32")
    from pasctl.models.load import load_model

    loaded = load_model(str(model), dtype="float32")
    moved = intervention(loaded, "ada", ALPHA, directions="directions", store=store)
    displacement = moved.displacements[2][0]
    weight = loaded.outputs()[2].weight
    assert np.allclose(tensor.data, (weight @ displacement).numpy(), atol=1e-5)
    assert made.proof is not None
    assert made.proof.mean > 1e-3  # an approximation
    assert told["general.description"] == "ada at alpha 2, to be added after their layers, at every position"


def test_nothing_is_written_over_but_a_control_vector_by_force(tmp_path: Path) -> None:
    _, store = plant(tmp_path)
    path, how = tmp_path / "ada.gguf", {"alpha": ALPHA, "persona": "ada", "store": store}
    path.write_text("somebody's model")
    with pytest.raises(InputError, match="is there already"):
        export_control_vector("directions", path, **how)
    with pytest.raises(InputError, match="is no control vector"):
        export_control_vector("directions", path, force=True, **how)
    assert path.read_text() == "somebody's model"
    for name, words in (("ada.bin", r"ends in \.bin, expected \.gguf"), ("none/ada.gguf", "there is no folder")):
        with pytest.raises(InputError, match=words):
            export_control_vector("directions", tmp_path / name, **how)
    path.unlink()
    export_control_vector("directions", path, **how)
    before = path.read_bytes()
    assert export_control_vector("directions", path, force=True, **{**how, "alpha": 2 * ALPHA}).alpha == 2 * ALPHA
    assert path.read_bytes() != before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ada.gguf", "store", "tiny-qwen3"]
