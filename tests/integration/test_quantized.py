"""The pipeline on quantized weights: what each command takes them from, where they stand, and what is printed."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.errors import InputError
from tests.conftest import PasctlRun
from tests.tiny import save_tiny

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
INT8 = pasctl.ModelOptions(dtype="float32", device="cpu", quantize="int8")
HERE = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))


def test_later_commands_run_the_weights_that_the_activations_were_made_with(tmp_path: Path) -> None:
    folder, store = str(save_tiny(tmp_path / "m")), tmp_path / "store"
    quantized = pasctl.extract(folder, store=store, options=INT8)
    assert quantized.artifact is not None
    numerics = quantized.artifact.document["numerics"]
    assert numerics == {"dtype": "float32", "attn": "sdpa", "seed": 0, "quantize": "int8"}
    again, plain = (
        pasctl.extract(folder, store=store, options=options, dry_run=True)
        for options in (INT8, replace(INT8, quantize="none"))
    )
    assert (again.key, again.reused) == (quantized.key, True)
    assert (plain.key == quantized.key, plain.reused) == (False, False)

    pasctl.train_probes(personas="E+,N-", store=store)
    pasctl.fit_directions(store=store)
    how: dict[str, Any] = {"store": store, "alpha": 4, "modes": "no-change,pas", "reading": "letters"}
    result = pasctl.evaluate(**how).artifact
    assert result is not None
    assert result.document["numerics"]["quantize"] == "int8"
    on_plain = pasctl.evaluate(**how, options=pasctl.ModelOptions(quantize="none"), dry_run=True)
    assert on_plain.key != result.key
    with pytest.raises(InputError, match="found --quantize int8") as caught:
        pasctl.export_model("directions", tmp_path / "out", persona="E+", alpha=2, store=store)
    assert "--quantize none" in str(caught.value.hint)


def test_a_command_prints_what_it_is_asked_for_and_no_library_s_warnings(run_pasctl: PasctlRun, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    done = run_pasctl("doctor", "--model", folder, "--dtype", "float32", "--quantize", "int8", "--json", env=HERE)
    assert done.stderr == ""
    model = next(line for line in json.loads(done.stdout) if line["what"] == "model")
    assert "float32 with int8 weights on cpu" in model["found"]
