"""Exports with a table of personas, as far as they go without vLLM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pasctl.errors import InputError
from pasctl.export.engines.vllm_personas import TABLE
from pasctl.models.load import load_model
from pasctl.stages.export import check_export, export_model
from pasctl.stages.target import intervention
from pasctl.vllm_plugin import PERSONA_ARCHITECTURES
from pasctl.vllm_plugin.persona_table import FOLDER, read_table
from tests.export.planted import ALPHA, PERSONAS, plant

ENGINE = "vllm-personas"


@pytest.mark.parametrize("family", PERSONA_ARCHITECTURES)
def test_an_export_is_the_base_model_and_what_each_persona_adds(family: str, tmp_path: Path) -> None:
    model, store = plant(tmp_path, family)
    made = export_model("directions", tmp_path / "out", alpha=ALPHA, engine=ENGINE, store=store)
    assert made.proof is not None
    assert made.proof.fault() is None
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [PERSONA_ARCHITECTURES[family]]
    base = json.loads((model / "config.json").read_text())
    assert config.get("attention_bias") == base.get("attention_bias")
    table = tmp_path / "out" / FOLDER / TABLE
    assert [(each.name, each.alpha, each.positions) for each in read_table(table)] == [
        (name, ALPHA, "all") for name in PERSONAS
    ]
    loaded = load_model(str(model), dtype="float32")
    with safe_open(table, framework="pt") as file:
        vectors = file.get_tensor("vectors")
    for row, persona in enumerate(PERSONAS):
        moved = intervention(str(model), persona, 1.0, store=store)
        for layer, projection in enumerate(loaded.outputs()):
            delta = moved.displacements.get(layer, torch.zeros(1, projection.weight.shape[1]))
            torch.testing.assert_close(vectors[row, layer], delta[0] @ projection.weight.T)


def test_the_check_in_transformers_repeats_the_proof(tmp_path: Path) -> None:
    _, store = plant(tmp_path)
    export_model("directions", tmp_path / "out", alpha=ALPHA, engine=ENGINE, store=store)
    assert check_export(tmp_path / "out", store=store).fault() is None


def test_weights_that_are_pointed_at_stay_as_they_are(tmp_path: Path) -> None:
    model, store = plant(tmp_path)
    weights = model / "model.safetensors"
    weights.chmod(0o400)
    before = weights.read_bytes()
    export_model("directions", tmp_path / "out", alpha=ALPHA, engine=ENGINE, link_base=True, store=store)
    link = tmp_path / "out" / "model.safetensors"
    assert link.is_symlink()
    assert link.resolve() == weights.resolve()
    assert (weights.stat().st_mode & 0o777, weights.read_bytes()) == (0o400, before)


def test_one_persona_is_exported_where_one_is_named(tmp_path: Path) -> None:
    _, store = plant(tmp_path)
    export_model("directions", tmp_path / "out", alpha=ALPHA, persona="E+", engine=ENGINE, store=store)
    assert [each.name for each in read_table(tmp_path / "out" / FOLDER / TABLE)] == ["E+"]


def test_what_cannot_be_a_table_is_refused_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store = plant(tmp_path, "gemma2")
    monkeypatch.setattr("pasctl.models.load.load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(InputError, match="the plugin for vLLM has no gemma2"):
        export_model("directions", tmp_path / "out", alpha=ALPHA, engine=ENGINE, store=store)
    with pytest.raises(InputError, match="the alpha of ada is 0"):
        export_model("directions", tmp_path / "out", alpha=0, engine=ENGINE, store=store)
    with pytest.raises(InputError, match="--link-base is for --engine vllm-personas"):
        export_model("directions", tmp_path / "out", alpha=ALPHA, persona="E+", link_base=True, store=store)


def test_positions_answer_are_the_tables_own(tmp_path: Path) -> None:
    _, store = plant(tmp_path)
    export_model("directions", tmp_path / "out", alpha=ALPHA, positions="answer", engine=ENGINE, store=store)
    assert {each.positions for each in read_table(tmp_path / "out" / FOLDER / TABLE)} == {"answer"}
    assert np.isfinite([each.alpha for each in read_table(tmp_path / "out" / FOLDER / TABLE)]).all()
