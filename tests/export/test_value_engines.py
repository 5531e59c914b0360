"""Engines stock and gguf: biases of v_proj, for directions that the heads of a key-value group share."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from pasctl.errors import InputError, PasctlError
from pasctl.export.files import RECORD
from pasctl.export.llama_cpp import has_llama_cpp
from pasctl.stages.export import check_export, export_model
from pasctl.stages.progress import Silent
from tests.export.planted import ALPHA, plant


class Notes(Silent):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "mistral"])
def test_an_export_for_stock_engines_is_the_steered_model(family: str, tmp_path: Path) -> None:
    _, store = plant(tmp_path, family, granularity="kv-group")
    made = export_model("directions", tmp_path / "out", alpha=ALPHA, persona="E+", engine="stock", store=store)
    assert made.proof is not None
    assert made.proof.largest < 1e-4
    assert made.proof.effect_mean > 0.1
    state = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert not any(value.any() for name, value in state.items() if name.endswith("o_proj.bias"))
    assert check_export(tmp_path / "out", engine="stock", store=store) == made.proof
    with pytest.raises(InputError, match=r"out holds no \.gguf file"):
        check_export(tmp_path / "out", engine="gguf", store=store)


def test_a_gguf_is_checked_where_llama_cpp_is_or_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store = plant(tmp_path, granularity="kv-group")
    made = export_model("directions", tmp_path / "out", alpha=ALPHA, persona="ada", engine="gguf", store=store)
    assert made.proof is not None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "model.gguf", RECORD]
    notes = Notes()
    if has_llama_cpp():
        proof = check_export(tmp_path / "out", engine="gguf", store=store, reporter=notes)
        assert (proof.engine, proof.fault()) == ("llama.cpp", None)
    monkeypatch.setattr("pasctl.export.engines.gguf.has_llama_cpp", lambda: False)
    assert not any("llama-cpp-python" in note for note in notes.told)
    assert check_export(tmp_path / "out", engine="gguf", store=store, reporter=notes) == made.proof
    assert any("llama-cpp-python is not installed here" in note for note in notes.told)
    with pytest.raises(InputError, match="vLLM does not read"):
        check_export(tmp_path / "out", engine="vllm", store=store)
    held = bytearray((tmp_path / "out" / "model.gguf").read_bytes())
    held[-1] ^= 1
    (tmp_path / "out" / "model.gguf").write_bytes(held)
    with pytest.raises(PasctlError, match=r"model\.gguf is not what was exported"):
        check_export(tmp_path / "out", engine="gguf", store=store)


@pytest.mark.parametrize("engine", ["stock", "gguf"])
def test_directions_of_single_heads_are_no_biases_of_values(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = plant(tmp_path)
    monkeypatch.setattr("pasctl.models.load.load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(InputError, match="granularity head") as caught:
        export_model("directions", tmp_path / "new", alpha=ALPHA, persona="ada", engine=engine, store=store)
    assert "pasctl fit-directions --granularity kv-group" in str(caught.value.hint)
