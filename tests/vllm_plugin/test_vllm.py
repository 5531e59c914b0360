"""Exports in a real vLLM on CPU, in float32, compared token by token with the steered model in transformers.

vLLM's attention on CPU takes heads of 32 and more, and its experts sizes that 32 divides: these tiny models have both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pasctl.errors import PasctlError
from pasctl.export.engines.vllm import Vllm
from pasctl.export.proof import Passage, Proof
from pasctl.export.vllm import has_vllm, read_in_vllm
from pasctl.models.options import ModelOptions
from pasctl.stages.export import check_export, export_model
from pasctl.stages.model import ModelHandle
from tests.export.planted import ALPHA, plant_directions
from tests.tiny import save_tiny

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not has_vllm(), reason="vLLM is not installed: make test-vllm sets up an environment with it"),
]

HEAD_DIM = 32
SHAPE = {"head_dim": HEAD_DIM, "hidden_size": 96}
EXPERTS = {"moe_intermediate_size": 32}
SERVED = [
    ("qwen3", "vllm"),
    ("qwen3_moe", "vllm"),
    ("llama", "vllm"),
    ("mistral", "vllm"),
    ("qwen2", "vllm"),
    ("qwen3_moe", "vllm-plugin"),
    ("qwen3", "stock"),
    ("llama", "stock"),
    ("mistral", "stock"),
]
PASSAGE = Passage(tuple(range(20, 60)), 1)


def export(folder: Path, family: str, engine: str) -> Path:
    """An export of a tiny model, beside the store of its directions."""
    changes = SHAPE | (EXPERTS if family == "qwen3_moe" else {})
    model = save_tiny(folder / f"tiny-{family}", family, **changes)
    handle = ModelHandle(str(model), ModelOptions(dtype="float32"))
    granularity = "kv-group" if engine == "stock" else "head"
    source = plant_directions(folder / "store", handle, head_dim=HEAD_DIM, granularity=granularity)
    export_model(source, folder / "out", alpha=ALPHA, persona="ada", engine=engine, store=folder / "store")
    return folder / "out"


Recorder = Callable[[str, object], None]


def check(out: Path, record: Recorder, told: str) -> Proof:
    """What `pasctl export check --engine vllm` finds; the figures are printed when all tests are done."""
    proof = check_export(out, engine="vllm", store=out.parent / "store")
    figures = (
        f"off by {proof.mean:.1e} nats on average, {proof.largest:.1e} at most; "
        f"steering does {proof.effect_mean:.2f}, {proof.share:.2%} of it is there"
    )
    record(told, figures)
    return proof


@pytest.mark.parametrize(("family", "engine"), SERVED)
def test_vllm_gives_the_steered_models_log_probabilities(
    family: str, engine: str, tmp_path: Path, record_property: Recorder
) -> None:
    proof = check(export(tmp_path, family, engine), record_property, f"{family}, engine {engine}")
    assert proof.engine == "vllm"
    assert proof.fault() is None
    assert proof.largest < 2e-5
    assert proof.effect_mean > 0.1
    assert proof.share == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("family", "share"), [("qwen3", 0), ("llama", 1), ("mistral", 1), ("qwen2", 1)])
def test_of_o_proj_biases_vllms_own_llama_reads_all_and_its_qwen3_none(
    family: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Recorder
) -> None:
    """Why the card of engine vllm asks for an option; were Qwen3's share 1 in a later vLLM, it could go."""
    out = export(tmp_path, family, "vllm")
    monkeypatch.setattr(Vllm, "vllm_impl", "vllm")
    proof = check(out, record_property, f"{family}, engine vllm without --model-impl transformers")
    assert proof.share == pytest.approx(share, abs=1e-3)
    assert (proof.fault() is None) == (share == 1)


def test_without_the_plugin_vllm_refuses_rather_than_serve_the_base_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export(tmp_path, "qwen3", "vllm-plugin")
    monkeypatch.setenv("VLLM_PLUGINS", "")
    with pytest.raises(PasctlError, match=r"\['PasctlQwen3ForCausalLM'\] are not supported"):
        read_in_vllm(out, [PASSAGE], "float32", model_impl="auto")


def test_a_checkpoint_that_lacks_a_bias_is_not_served(tmp_path: Path) -> None:
    out = export(tmp_path, "qwen3", "vllm-plugin")
    held: dict[str, Any] = load_file(out / "model.safetensors")
    del held["model.layers.1.self_attn.o_proj.bias"]
    save_file(held, out / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PasctlError, match=r"has no model\.layers\.1\.self_attn\.o_proj\.bias"):
        read_in_vllm(out, [PASSAGE], "float32", model_impl="auto")


def test_workers_of_their_own_have_the_plugin_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Recorder
) -> None:
    """`vllm serve` runs the model in other processes than the one that it is started in."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    proof = check(export(tmp_path, "qwen3", "vllm-plugin"), record_property, "qwen3, engine vllm-plugin, in workers")
    assert proof.fault() is None
    assert proof.largest < 2e-5
