"""`pasctl doctor`, `pasctl data` and what `eval` writes besides its results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pasctl.cli.app import app


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_doctor_finds_a_sound_machine_and_model(tiny_folder: Path, tmp_path: Path) -> None:
    result = invoke("doctor", "--model", tiny_folder, "--store", tmp_path / "none", "--json")
    assert result.exit_code == 0, result.output
    found = {each["what"]: each for each in json.loads(result.stdout)}
    assert {"python", "torch", "transformers", "device", "store", "disk", "hub"} <= set(found)
    assert all(found[what]["ok"] for what in ("model", "tokens", "steering"))
    assert "3 layers, hidden 48" in found["model"]["found"]
    assert "6 heads of 16 in every layer" in found["site heads"]["found"]
    assert found["tokens"]["found"].startswith("A=")
    assert not (tmp_path / "none").exists()


def test_doctor_names_what_is_broken(tiny_folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    store = tmp_path / "store"
    store.mkdir()
    (store / "index.sqlite").write_bytes(b"no database " * 400)
    result = invoke("doctor", "--model", broken, "--store", store)
    assert result.exit_code == 1
    bad = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("BAD")]
    assert bad == ["store", "model"]
    assert "doctor found a problem with store, model" in result.stderr


def test_data_check_counts_the_built_in_inventory() -> None:
    report = json.loads(invoke("data", "check", "builtin", "--json").stdout)
    assert (report["items"], report["items_keyed_minus"], report["respondents"]) == (60, 30, 50)
    assert report["coding"]["found"] == "agreement"
    assert invoke("data", "pull", "elsewhere").exit_code == 2


def test_eval_writes_the_published_log_beside_its_results(tiny_folder: Path, tmp_path: Path) -> None:
    common = ("--store", tmp_path / "store", "--mode", "pas", "--reading", "letters")
    run = invoke("run", "--model", tiny_folder, "--personas", "builtin:0-2", *common)
    assert run.exit_code == 0, run.output
    log = tmp_path / "log.json"
    evaluated = invoke("eval", *common, "--export-log", log)
    assert evaluated.exit_code == 0, evaluated.output
    assert "already in the store" in evaluated.stdout
    assert set(json.loads(log.read_text(encoding="utf-8"))) == {"score", "mean", "std"}
    several = invoke("eval", *common, "--alpha", "2,4", "--export-log", tmp_path / "other.json")
    assert several.exit_code == 2
    assert "one strength" in several.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PASCTL_COMPLETE", f"source_{shell}")
    result = CliRunner().invoke(app, [], prog_name="pasctl")
    assert result.exit_code == 0
    assert "pasctl" in result.stdout
