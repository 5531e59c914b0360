"""Attention implementations: which can run here, told before a model is loaded, and what they share no key with."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import transformers.utils

from pasctl.activations.extract import extract_head_outputs
from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.models.attention import IMPLEMENTATION
from pasctl.models.attention_choice import attention_remark, require_attention
from pasctl.models.load import load_model
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle
from pasctl.steering import Intervention, steer
from tests.tiny import save_tiny

FLASH = ("flash_attention_2", "flash_attention_3")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in packages else real(name, *rest)
    )


@pytest.mark.parametrize(
    ("name", "device", "dtype", "words"),
    [
        *((name, "cpu", "bfloat16", rf"{name} runs on a GPU, found device cpu") for name in FLASH),
        *((name, "mps", "float16", r"runs on a GPU, found device mps") for name in FLASH),
        *((name, "cuda:1", "float32", r"computes in bfloat16 or float16, found float32") for name in FLASH),
        ("no-such", "cpu", "float32", r"'no-such' is unknown, expected auto or one of eager, .*sdpa"),
        ("paged|eager", "cpu", "float32", "is unknown"),
        (IMPLEMENTATION, "cpu", "float32", "is unknown"),
    ],
)
def test_what_cannot_run_here_is_one_line(name: str, device: str, dtype: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        require_attention(name, device, dtype)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("name", "package"), [(FLASH[0], "flash-attn"), (FLASH[1], "flash-attn-3")])
def test_an_absent_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "kernels")
    check = f"is_{name.replace('attention', 'attn')}_available"
    monkeypatch.setattr(transformers.utils, check, lambda: False)
    with pytest.raises(MissingError, match=f"attention {name} needs the package {package}$"):
        require_attention(name, "cuda", "bfloat16")
    monkeypatch.setattr(transformers.utils, check, lambda: True)
    require_attention(name, "cuda", "bfloat16")


def test_a_kernel_of_the_hub_needs_the_package_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "kernels")
    with pytest.raises(MissingError, match="needs the package kernels"):
        require_attention("kernels-community/flash-attn2", "cuda", "bfloat16")


def test_flex_attention_on_a_cpu_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    require_attention("flex_attention", "cpu", "float32")
    compiler.unlink()
    require_attention("flex_attention", "cuda", "float32")
    with pytest.raises(MissingError, match=r"no C\+\+ compiler is here"):
        require_attention("flex_attention", "cpu", "float32")


def test_what_fails_in_a_first_pass_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an attention does that cannot be compiled for a model's heads."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel for heads of 16\nand much more")

    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, "sdpa", broken)
    with pytest.raises(PasctlError, match=r"no kernel for heads of 16$") as caught:
        load_model(str(save_tiny(tmp_path / "m")), dtype="float32", device="cpu")
    assert "\n" not in caught.value.message


def test_flex_attention_on_a_cpu_is_said_to_take_long() -> None:
    assert "compiled" in (attention_remark("flex_attention", "cpu") or "")
    assert attention_remark("flex_attention", "cuda") is None
    assert attention_remark("sdpa", "cpu") is None


@pytest.mark.parametrize("name", FLASH)
def test_it_is_refused_before_weights_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pasctl.models.load.read_weights", lambda *_, **__: pytest.fail("weights are read"))
    with pytest.raises(InputError, match="runs on a GPU"):
        load_model(str(save_tiny(tmp_path / "m")), dtype="bfloat16", device="cpu", attn=name)


def test_two_implementations_agree_on_all_and_share_no_key(tmp_path: Path) -> None:
    folder = str(save_tiny(tmp_path / "m"))
    models = [load_model(folder, dtype="float32", device="cpu", attn=name) for name in ("sdpa", "eager")]
    assert [model.attn for model in models] == ["sdpa", "eager"]
    sequences = [models[0].chat.encode(text) for text in ("I worry.", "I worry about things.", "I like art.")]
    sdpa, eager = (extract_head_outputs(model, sequences, batch_tokens=40).head_outputs for model in models)
    torch.testing.assert_close(sdpa, eager, rtol=2e-5, atol=2e-5)
    ids, shift = torch.tensor([sequences[0]]), Intervention({1: torch.ones(1, models[0].geometry.width)})
    steered: list[Any] = []
    for model in models:
        with torch.inference_mode(), steer(model, shift):
            steered.append(model.model(ids).logits)
    torch.testing.assert_close(*steered, rtol=5e-5, atol=5e-5)

    names = ("sdpa", "eager", *FLASH, "flex_attention")
    keys = [ModelHandle(folder, ModelOptions(device="cpu", attn=name)).numerics(0) for name in names]
    assert len({key["attn"] for key in keys}) == len(names)
    assert ModelHandle(folder, ModelOptions(device="cpu")).numerics(0) == keys[0]
