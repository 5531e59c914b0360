"""The plugin and its engine as far as they go without vLLM."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

import pasctl
from pasctl.errors import InputError, PasctlError
from pasctl.export.proof import Passage
from pasctl.export.vllm import has_vllm, read_in_vllm
from pasctl.stages.export import export_model
from pasctl.vllm_plugin import ARCHITECTURES
from tests.export.planted import ALPHA, plant

ROOT = Path(pasctl.__file__).parent


def test_the_entry_point_names_a_function_that_loads_nothing_heavy() -> None:
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    [target] = settings["project"]["entry-points"]["vllm.general_plugins"].values()
    module, _, function = target.partition(":")
    code = f"import sys, {module}; assert callable({module}.{function}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "vllm"} & set(done.stdout.split())


def test_every_architecture_is_a_class_of_the_plugin() -> None:
    tree = ast.parse((ROOT / "vllm_plugin" / "models.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert classes == set(ARCHITECTURES.values())


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_an_export_for_the_plugin_has_its_architecture_and_loads_in_transformers(family: str, tmp_path: Path) -> None:
    _, store = plant(tmp_path, family)
    made = export_model("directions", tmp_path / "out", alpha=ALPHA, persona="ada", engine="vllm-plugin", store=store)
    assert made.proof is not None
    assert made.proof.fault() is None
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [ARCHITECTURES[family]]
    assert config["attention_bias"]
    assert "auto_map" not in config
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == ARCHITECTURES[family].removeprefix("Pasctl")
    # neither vLLM nor transformers may find a class of that name elsewhere, and run the base model by it
    assert not hasattr(importlib.import_module("transformers"), ARCHITECTURES[family])


def test_a_family_that_the_plugin_lacks_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = plant(tmp_path, "llama")
    monkeypatch.setattr("pasctl.models.load.load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(InputError, match="the plugin for vLLM has no llama") as caught:
        export_model("directions", tmp_path / "out", alpha=ALPHA, persona="ada", engine="vllm-plugin", store=store)
    assert "--engine vllm" in str(caught.value.hint)


@pytest.mark.skipif(has_vllm(), reason="vLLM is here")
def test_a_reader_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PasctlError, match=r"vLLM cannot run .*: No module named 'vllm'"):
        read_in_vllm(tmp_path, [Passage((1, 2), 1)], "float32", model_impl="auto")
