"""SmolLM2-135M-Instruct from a .gguf file, steered and exported as an ordinary folder, and as a .gguf file again."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pasctl.export.gguf_file import FILE, write_with_biases
from pasctl.models.options import ModelOptions
from pasctl.stages.export import export_model
from pasctl.stages.model import ModelHandle
from tests.export.planted import plant_directions
from tests.models.test_realmodel import _file

pytestmark = pytest.mark.realmodel


@pytest.mark.parametrize(("dtype", "mean"), [("float32", 2e-5), ("bfloat16", 0.1)])
def test_a_gguf_is_exported_and_still_knows_the_capital_of_france(dtype: str, mean: float, tmp_path: Path) -> None:
    handle = ModelHandle(str(_file()), ModelOptions(dtype=dtype))
    source = plant_directions(tmp_path / "store", handle, head_dim=64, sigma=0.2)
    made = export_model(source, tmp_path / "out", alpha=4, persona="ada", store=tmp_path / "store")
    assert made.proof is not None
    print(made.proof)
    assert made.proof.mean < mean < made.proof.effect_mean
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.config.attention_bias
    assert not hasattr(model.config, "quantization_config")
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"


def test_a_gguf_gets_biases_and_keeps_its_quantized_blocks(tmp_path: Path) -> None:
    biases = {layer: np.random.default_rng(layer).normal(size=3 * 64).astype(np.float32) for layer in (0, 29)}
    write_with_biases(_file(), biases, tmp_path / FILE)
    old, new = gguf.GGUFReader(_file()), gguf.GGUFReader(tmp_path / FILE)
    kept = {tensor.name: tensor for tensor in new.tensors}
    assert any(tensor.tensor_type.name == "Q4_1" for tensor in old.tensors)
    assert all(np.array_equal(tensor.data, kept.pop(tensor.name).data) for tensor in old.tensors)
    assert {name: tensor.data.tolist() for name, tensor in kept.items()} == {
        f"blk.{layer}.attn_v.bias": bias.tolist() for layer, bias in biases.items()
    }
    assert all(old.fields[name].contents() == new.fields[name].contents() for name in old.fields if "GGUF." not in name)
