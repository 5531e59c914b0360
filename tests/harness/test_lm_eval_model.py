"""lm-eval's model type `pasctl` has the figures of HFLM on a model that `pasctl.steer` steers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.errors import InputError
from pasctl.steering import steer
from tests.memory.test_exactness import SMALL

pytest.importorskip("lm_eval")

from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from pasctl.harness.lm_eval_model import PasctlLM
from tests.lm_eval_tasks import figures
from tests.serving.conftest import handle, served_store
from tests.serving.test_lm_eval import ALPHA, tasks

__all__ = ["handle", "served_store", "tasks"]


@pytest.mark.parametrize("persona", [None, "s01", "s03"])
def test_tasks_have_the_figures_of_the_steered_model(
    tiny_folder: Path, served_store: Path, tasks: TaskManager, persona: str | None
) -> None:
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    told = None if persona is None else pasctl.intervention(model, persona, ALPHA, store=served_store)
    with steer(model, told):
        expected = figures(HFLM(pretrained=model.model, tokenizer=model.tokenizer), tasks)
    who: dict[str, Any] = {} if persona is None else {"persona": persona, "alpha": ALPHA, "positions": "all"}
    for size in (1, 8):
        harness = PasctlLM(str(tiny_folder), store=str(served_store), dtype="float32", batch_size=size, **who)
        results, choices, texts = figures(harness, tasks)
        harness.close()
        assert results == pytest.approx(expected[0], rel=1e-4)
        assert choices == [pytest.approx(row, abs=1e-3) for row in expected[1]]
        assert texts == expected[2]
        assert harness.get_model_info().get("persona") == persona


def test_a_memory_reads_texts_that_are_longer_than_its_window(tiny_folder: Path, tasks: TaskManager) -> None:
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    harness = HFLM(pretrained=model.model, tokenizer=model.tokenizer, max_length=10**6)
    with pasctl.remember(model, n_local=SMALL["n_local"]):
        expected = figures(harness, tasks)
    remembering = PasctlLM(str(tiny_folder), dtype="float32", n_local=SMALL["n_local"])
    found = figures(remembering, tasks)
    remembering.close()
    assert remembering.max_length == 10**6
    assert found == expected


def test_a_persona_that_is_steered_from_the_answer_on_is_refused(tiny_folder: Path, served_store: Path) -> None:
    with pytest.raises(InputError, match="steered from the answer on, and tasks do not say where that is"):
        PasctlLM(
            str(tiny_folder), store=str(served_store), dtype="float32", persona="s01", alpha=1.0, positions="answer"
        )


def test_the_command_line_of_lm_eval_knows_the_type(tiny_folder: Path, served_store: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "I worry.", "choices": [" A", " B"], "label": 1}\n' * 3)
    (tmp_path / "small.yaml").write_text(
        "task: small\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'rows.jsonl'}}}}}\n"
        'doc_to_text: "{{question}}"\ndoc_to_choice: "{{choices}}"\ndoc_to_target: "{{label}}"\n'
        "metric_list: [{metric: acc}]\n"
    )
    args = f"model={tiny_folder},store={served_store},dtype=float32,persona=s01,alpha=4,positions=all"
    command = [sys.executable, "-m", "pasctl.harness", "run", "--model", "pasctl", "--model_args", args]
    command += ["--tasks", "small", "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    [written] = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(written.read_text())
    assert found["config"]["persona"] == "s01"
    assert found["results"]["small"]["acc,none"] in (0.0, 1.0)
