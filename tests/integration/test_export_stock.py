"""From activations to checkpoints that stock engines serve, on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pasctl.export.gguf_file import FILE
from pasctl.models.gguf_weights import read_value_biases
from pasctl.store import Store
from tests.integration.refusal import assert_refused
from tests.integration.warm import Done, Warm
from tests.tiny import HEAD_DIM, HEADS, KV_HEADS

pytestmark = pytest.mark.integration

SIZE = HEADS // KV_HEADS


def test_from_questions_to_stock_engines(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> Done:
        return warm.run(*arguments, "--store", "store", folder=tmp_path)

    assert run("extract", "--model", tiny_folder, "--dtype", "float32").returncode == 0
    assert run("train-probes", "--personas", "builtin:0-2").returncode == 0
    plain, shared = run("fit-directions"), run("fit-directions", "--granularity", "kv-group", "--top-k", 2)
    assert (plain.returncode, shared.returncode) == (0, 0), shared.stderr
    found = {each.params.get("granularity"): each for each in Store(tmp_path / "store").artifacts("directions")}
    assert set(found) == {None, "kv-group"}  # keys of single heads are as they were before there were groups
    arrays = found["kv-group"].read_arrays("directions.safetensors")
    assert arrays["heads"].shape == (2, 2 * SIZE, 2)
    for persona in range(2):
        for unit in arrays["heads"][persona].reshape(2, SIZE, 2):
            assert unit[:, 1].tolist() == list(range(unit[0, 1], unit[0, 1] + SIZE))
            assert unit[0, 1] % SIZE == 0
    first = arrays["heads"][0, ::SIZE]
    wanted = {
        int(layer): np.zeros((KV_HEADS, HEAD_DIM), np.float32) for layer in sorted({int(layer) for layer, _ in first})
    }
    for place, (layer, head) in enumerate(first):
        displacement = 4 * arrays["sigma"][0, place * SIZE] * arrays["theta"][0, place * SIZE]
        wanted[int(layer)][head // SIZE] += displacement
    who = ("--persona", "s01", "--alpha", 4)
    made = run("export", found["kv-group"].key, *who, "-o", "out", "--engine", "stock")
    assert made.returncode == 0, made.stderr
    assert "100.0% of the steering's effect" in made.stdout
    assert run("export", "check", "out", "--engine", "stock").stdout == made.stdout.partition("\n")[2]
    assert run("export", found["kv-group"].key, *who, "-o", "llama", "--engine", "gguf").returncode == 0
    tensors, biases = load_file(tmp_path / "out" / "model.safetensors"), read_value_biases(tmp_path / "llama" / FILE)
    assert biases.keys() == wanted.keys()
    for layer, bias in wanted.items():
        assert np.allclose(tensors[f"model.layers.{layer}.self_attn.v_proj.bias"], bias.ravel(), atol=1e-6)
        assert np.allclose(biases[layer], bias.ravel(), atol=1e-6)
    refused = run("export", found[None].key, *who, "-o", "new", "--engine", "stock")
    assert_refused(refused, 2, "granularity head")
    assert "pasctl fit-directions --granularity kv-group" in refused.stderr
    vector = run("export", found[None].key, *who, "--control-vector", "s01.gguf")
    assert vector.returncode == 0, vector.stderr
    assert "an approximation" in vector.stdout
    report = run("report", found["kv-group"].key, "-o", "page.html")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "page.html").read_text()
    assert "--granularity kv-group" in page
    assert "the heads of a key-value group" in page


def test_what_makes_no_sense_is_refused(warm: Warm, tmp_path: Path) -> None:
    def run(*arguments: object) -> Done:
        return warm.run(*arguments, "--store", "store", folder=tmp_path)

    fit = ("fit-directions", "--granularity")
    assert_refused(run(*fit, "layer"), 2, "'layer'", "'head', 'kv-group'")
    assert_refused(run(*fit, "kv-group", "--select", "steering", "--top-k", 2), 2, "steering", "top-k")
    who = ("export", "latest", "--persona", "s01", "--alpha", 1)
    assert_refused(run(*who), 2, "-o DIR", "--control-vector FILE")
    assert_refused(run(*who, "-o", "out", "--control-vector", "x.gguf"), 2, "two exports")
    assert_refused(run(*who, "--control-vector", "x.gguf", "--engine", "vllm"), 2, "for no engine", "--engine vllm")
    assert_refused(run(*who, "--control-vector", "x.gguf", "--license", "mit"), 2, "--license")
    assert_refused(run(*who, "--control-vector", "x.bin"), 2, "x.bin", ".gguf")
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "store"])
