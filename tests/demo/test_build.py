from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.demo.builder.model import demo_config, new_model
from tests.demo.builder.optimizer import orthogonal
from tests.demo.builder.sources import Mixture
from tests.demo.builder.training import CHECKPOINT, LOG, Stage, Trainer

ROOT = Path(__file__).parents[2]


class Killed(Exception):
    pass


def trainer(writer, folder, note=lambda line: None):
    stages = tuple(Stage(name, Mixture(dense=1.0, early=1.0), 6 * 512, rows=2) for name in ("one", "two"))
    model = new_model(demo_config(writer.chat.tokenizer, hidden=32, layers=2), 0)
    return Trainer(model, writer, folder, seed=0, stages=stages, note=note)


def test_orthogonal_pulls_all_singular_values_near_one():
    for shape in ((20, 50), (50, 20)):
        found = orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
        values = torch.linalg.svdvals(found)
        assert found.shape == shape
        assert 0.6 < values.min() <= values.max() < 1.4


def test_a_killed_run_ends_where_an_unbroken_one_does(writer, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    trainer(writer, whole).train()

    def die(name):
        raise Killed

    with pytest.raises(Killed):
        trainer(writer, broken).train(on_stage=die)
    again = trainer(writer, broken)
    assert again.progress.stage == 1
    again.train()
    first, second = (load_file(folder / CHECKPOINT) for folder in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_losses_are_logged_and_fall(writer, tmp_path):
    stage = Stage("one", Mixture(dense=1.0), 160 * 512, rows=2)
    model = new_model(demo_config(writer.chat.tokenizer, hidden=32, layers=2), 0)
    Trainer(model, writer, tmp_path, seed=0, stages=(stage,), note=lambda line: None).train()
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row["step"] for row in rows] == [50, 80]
    assert rows[1]["losses"]["dense-16"] < rows[0]["losses"]["dense-16"] < 7


@pytest.mark.integration
def test_the_short_build_makes_a_model_with_figures(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo.builder", "--out", str(tmp_path), "--short", "--threads", "1"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads((tmp_path / "model" / "evaluation.json").read_text())
    assert {"no-change", "few-shot", "pas", "random-direction", "constant-3"} <= {
        row["condition"] for row in figures["conditions"]
    }
    assert set(figures["pass_keys"]) == {"memory", "window", "full"}
    assert (tmp_path / "model" / "model.safetensors").exists()
    # Again: nothing is trained, so the weights are the same to the byte.
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    lines = len((tmp_path / LOG).read_text().splitlines())
    subprocess.run(done.args, capture_output=True, check=True, timeout=240, cwd=ROOT)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert len((tmp_path / LOG).read_text().splitlines()) == lines
