"""Loading model folders: what comes out, and what each kind of damage is told as."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.models.identity import ModelSource
from pasctl.models.load import load_chat, load_meta_model, load_model
from tests.tiny import FAMILIES, HIDDEN, TOKENIZER_KINDS, save_tiny, tiny_model


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_tiny(tmp_path / "model")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loaded_folder_computes_what_the_saved_model_did(tmp_path, family):
    loaded = load_model(str(save_tiny(tmp_path / family, family, seed=4)), dtype="float32", device="cpu")
    assert (loaded.device, loaded.dtype, loaded.attn, loaded.adapter.family) == ("cpu", "float32", "sdpa", family)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    ids = torch.tensor([loaded.chat.encode("I worry about things.")])
    assert torch.equal(loaded.model(ids).logits, tiny_model(family, seed=4)(ids).logits)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype_is_the_weights(folder, dtype):
    loaded = load_model(str(folder), dtype=dtype, device="cpu")
    assert loaded.dtype == dtype
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {getattr(torch, dtype)}


def test_attention_implementations_agree(folder):
    sdpa, eager = (load_model(str(folder), dtype="float32", device="cpu", attn=attn) for attn in ("auto", "eager"))
    assert eager.attn == "eager"
    ids = torch.tensor([sdpa.chat.encode("I worry about things.")])
    torch.testing.assert_close(sdpa.model(ids).logits, eager.model(ids).logits, rtol=1e-4, atol=1e-4)


def test_nothing_is_printed(folder, capfd):
    load_model(str(folder), device="cpu")
    assert capfd.readouterr() == ("", "")


def test_a_missing_weight_is_an_error_and_not_a_random_number(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.self_attn.o_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(PasctlError, match=r"lacks 1 of the model's weights.*layers\.1\.self_attn\.o_proj"):
        load_model(str(folder))


def test_a_weight_of_another_shape_is_an_error(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"head_dim": 8}))
    with pytest.raises(PasctlError, match=r"weight .*_norm\.weight has shape \[16\], config\.json makes it \[8\]"):
        load_model(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bias_that_the_config_has_no_place_for_is_not_dropped_in_silence(tmp_path, family):
    folder = save_tiny(tmp_path / "m", family)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.2.self_attn.o_proj.bias"] = torch.ones(HIDDEN)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PasctlError, match=r"no place for, the first is model\.layers\.2\.self_attn\.o_proj\.bias"):
        load_model(str(folder))


def test_more_layers_than_the_config_says_is_an_error(folder):
    config = json.loads((folder / "config.json").read_text())
    fewer = {"num_hidden_layers": 2, "layer_types": config["layer_types"][:2]}
    (folder / "config.json").write_text(json.dumps(config | fewer))
    with pytest.raises(PasctlError, match=r"no place for, the first is model\.layers\.2\."):
        load_model(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_geometry_is_known_without_weights(tmp_path, family):
    folder = save_tiny(tmp_path / "m", family)
    whole = load_model(str(folder)).geometry
    (folder / "model.safetensors").write_bytes(b"unread")
    assert load_meta_model(str(folder)).geometry == whole


@pytest.mark.parametrize("template", TOKENIZER_KINDS)
def test_the_chat_renderer_loads_without_weights_and_is_the_models(tmp_path, template):
    folder = save_tiny(tmp_path / "m", template=template)
    whole = load_model(str(folder)).chat
    (folder / "model.safetensors").write_bytes(b"unread")
    alone = load_chat(str(folder))
    assert alone.template_digest == whole.template_digest
    assert alone.encode("I worry.", "Be brief.") == whole.encode("I worry.", "Be brief.")


@pytest.mark.parametrize(
    ("name", "keep", "told"),
    [
        ("model.safetensors", 1000, "cannot load"),
        ("model.safetensors", 3, "cannot load"),
        ("tokenizer.json", 100, r"tokenizer\.json is not JSON"),
    ],
)
def test_a_damaged_file_is_one_line(folder, name, keep, told):
    file = folder / name
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(PasctlError, match=told) as caught:
        load_model(str(folder))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("option", ["attn", "dtype", "device"])
def test_unknown_options_are_errors(folder, option):
    with pytest.raises(InputError, match=r"'no-such' is unknown, expected auto"):
        load_model(str(folder), **{option: "no-such"})


def test_an_interrupt_passes(folder, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pasctl.models.load.read_tokenizer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_model(str(folder))


@pytest.mark.parametrize("absent", [("gguf",), ("accelerate",), ("gguf", "accelerate")])
def test_gguf_without_its_packages_says_what_to_install(tmp_path, monkeypatch, absent):
    for name in absent:  # an import system that finds nothing under these names
        monkeypatch.delitem(sys.modules, name, raising=False)
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest))
    source = ModelSource("m.gguf", "gguf", tmp_path / "m.gguf", None, None, "m", {}, "llama")
    with pytest.raises(MissingError, match=" and ".join(absent)) as caught:
        load_model(source)
    assert caught.value.hint == "pip install 'pasctl[gguf]'"


def test_the_check_can_be_left_out_and_is_run_otherwise(folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert load_model(str(broken), check=False).geometry.layers == 3
    with pytest.raises(PasctlError, match="not finite"):
        load_model(str(broken))


def test_an_unsupported_family_is_told_before_loading(tmp_path):
    source = ModelSource("x", "folder", tmp_path, None, None, "x", {}, "qwen33")
    with pytest.raises(InputError, match=r"'qwen33' is not known .*did you mean qwen3"):
        load_model(source)
