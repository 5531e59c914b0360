"""A .gguf file is a model of its own: its digest is the whole key, so nothing beside it may have a say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.export.gguf_model import write_model
from pasctl.models import gguf_weights
from pasctl.models.footprint import Footprint
from pasctl.models.gguf_weights import read_gguf_footprint
from pasctl.models.load import load_chat, load_meta_model, load_model
from tests.tiny import save_tiny, tiny_loaded


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    write_model(tiny_loaded("llama"), {}, tmp_path / "here" / "m.gguf")
    return tmp_path / "here" / "m.gguf"


def facts(file: Path) -> dict[str, Any]:
    """All of a model that a file beside it could change."""
    loaded, chat = load_model(str(file), dtype="float32", device="cpu"), load_chat(str(file))
    return {
        "template": chat.template_digest,
        "ids": chat.encode("I worry about things.", "Be brief."),
        "of the model": loaded.chat.encode("I worry about things.", "Be brief."),
        "ends": loaded.model.generation_config.eos_token_id,
        "eos": loaded.tokenizer.eos_token_id,
        "geometry": load_meta_model(str(file)).geometry,
        "mean": float(loaded.model.get_input_embeddings().weight.mean()),
    }


def test_what_it_takes_is_told_from_its_header(file: Path) -> None:
    """As the loaded model's own sizes have it."""
    loaded = load_model(str(file), dtype="float32", device="cpu")
    assert read_gguf_footprint(file, 4, on_host=True) == Footprint(
        loaded.geometry, replace(loaded.footprint.sizes, stored=0), 4, on_host=True
    )


def test_files_beside_a_gguf_change_nothing(file: Path) -> None:
    alone = facts(file)
    save_tiny(file.parent, "qwen3", seed=5, template="llama")
    config = json.loads((file.parent / "tokenizer_config.json").read_text())
    (file.parent / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": "<|im_start|>"}))
    (file.parent / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 4]}))
    (file.parent / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (file.parent / "additional_chat_templates").mkdir()
    (file.parent / "additional_chat_templates" / "default.jinja").write_text("{{ messages }}")
    assert facts(file) == alone


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("blk.99.attn_v.bias", 32, "but its model has 3 layers"),
        ("blk.0.attn_v.bias", 5, "32 values are expected, found 5"),
    ],
)
def test_biases_that_fit_no_layer_are_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, values: int, told: str
) -> None:
    monkeypatch.setattr(gguf_weights, "read_gguf_tensor_names", lambda path: [name, f"blk.{'9' * 5000}.attn_v.bias"])
    monkeypatch.setattr(gguf_weights, "_read", lambda path, names: {name: np.zeros(values, np.float32)})
    with pytest.raises(InputError, match=told):
        gguf_weights.put_back_biases(tiny_loaded("llama").model, Path("m.gguf"))
