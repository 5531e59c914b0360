"""`pasctl bench-tasks`: figures are lm-eval's own, conditions are what they say, and nothing is computed twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import pasctl
import pasctl.models.load
from pasctl.contrasts import WORDINGS, describe
from pasctl.errors import InputError, MissingError
from pasctl.inventory import Inventory, personality_prompt
from pasctl.stages.job import Outcome
from pasctl.stages.model import ModelHandle
from pasctl.stages.report import report
from pasctl.stages.reproduce import Made, reproduce
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.steering import steer
from tests.serving.conftest import handle, served_store

pytest.importorskip("lm_eval")

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from pasctl.evaluation import lm_eval_runs
from tests.lm_eval_tasks import ROWS, SHARED, TASKS
from tests.serving.test_lm_eval import ALPHA

__all__ = ["handle", "served_store"]

SHOTS = """\
output_type: multiple_choice
num_fewshot: 2
fewshot_config: {split: test}
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
metric_list: [{metric: acc}, {metric: brier_score}, {metric: mcc}]
"""
NAMES = (*TASKS, "shots")
MANY = [{**row, "question": f"{number}. {row['question']}"} for number, row in enumerate(ROWS + ROWS + ROWS)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    data = folder / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in MANY))
    for name, text in {**TASKS, "shots": SHOTS}.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{SHARED.replace('FILE', str(data))}{text}")
    return {name: folder / f"{name}.yaml" for name in NAMES}


@pytest.fixture
def store(served_store: Path, tmp_path: Path) -> Path:
    shutil.copytree(served_store, tmp_path / "artifacts")
    return tmp_path / "artifacts"


def bench(files: dict[str, Path], store: Path, handle: ModelHandle, **how: Any) -> Outcome:
    given = {"tasks": [str(path) for path in files.values()], "persona": "s01", "alpha": ALPHA, "positions": "all"}
    made: Outcome = pasctl.bench_tasks(model=handle, store=store, **{**given, **how})
    return made


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.artifact is not None
    found: list[dict[str, Any]] = outcome.artifact.read_json("rows.json")["rows"]
    return found


def own_figures(files: dict[str, Path], model: Any, system: str | None = None, **how: Any) -> dict[str, float]:
    """lm-eval's figures, by its own means."""
    manager = TaskManager(include_path=str(files["choices"].parent), include_defaults=False)
    found: Any = simple_evaluate(
        HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=8),
        tasks=list(files),
        task_manager=manager,
        bootstrap_iters=0,
        system_instruction=system,
        **dict.fromkeys(("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed"), 0),
        **how,
    )
    return {
        f"{task} {metric}": float(value)
        for task, measured in found["results"].items()
        for metric, value in measured.items()
        if "," in metric and "stderr" not in metric
    }


def figures(rows: list[dict[str, Any]], condition: str) -> dict[str, float]:
    return {
        f"{row['task']} {row['metric']},{row['filter']}": row["value"] for row in rows if row["condition"] == condition
    }


def test_figures_are_those_of_lm_eval_alone(
    files: dict[str, Path], store: Path, tiny_folder: Path, handle: ModelHandle
) -> None:
    """Unchanged, steered and prompted; with few-shot examples, and of means, perplexities and a matrix of labels."""
    made = bench(files, store, handle, limit=20)
    rows = rows_of(made)
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    unchanged = own_figures(files, model, limit=20)
    assert {name.partition(",")[0] for name in unchanged} >= {
        *("choices acc", "rolling word_perplexity", "written exact_match", "shots mcc", "shots brier_score"),
    }
    assert figures(rows, "no-change") == pytest.approx(unchanged, rel=1e-9)
    with steer(model, pasctl.intervention(model, "s01", ALPHA, store=store)):
        steered = own_figures(files, model, limit=20)
    assert figures(rows, "persona") == pytest.approx(steered, rel=1e-9)
    assert steered != unchanged
    directions = pasctl.Store(store).resolve("directions")
    inventory = Inventory.from_json(directions.read_json("items.json")["inventory"])
    known = StoredPersonas.of(directions).rows(None)
    answers = known.agreements[known.ids.index("s01")]
    system = personality_prompt(inventory, answers, inventory.indices("fit"))
    asked = {name: path for name, path in files.items() if name != "rolling"}
    assert figures(rows, "prompted") == pytest.approx(own_figures(asked, model, system, limit=20), rel=1e-9)
    compared = [row for row in rows if row["condition"] != "no-change"]
    assert all(row["low"] <= row["difference"] <= row["high"] for row in compared)
    assert made.artifact is not None
    assert {row["task"]: row["documents"] for row in rows} == dict.fromkeys(NAMES, 20)
    counts = made.artifact.provenance["counts"]
    assert counts["runs"] == len(NAMES) * 4 - 1
    assert counts["tokens_run"] > 0
    assert counts["tokens_asked"] > 0


def test_a_chat_template_has_the_persona_as_its_system_text(
    files: dict[str, Path], store: Path, tiny_folder: Path, handle: ModelHandle
) -> None:
    """Poles of traits are prompted by their descriptions; directions of contrasts are as good as those of answers."""
    pasctl.extract(handle, contrast="big5", store=store)
    pasctl.fit_directions(model=handle, store=store)
    asked = {name: files[name] for name in ("choices", "written")}
    rows = rows_of(bench(asked, store, handle, persona="E+", modes="prompted", chat_template=True, limit=8))
    model, system = pasctl.load_model(str(tiny_folder), dtype="float32"), describe(WORDINGS["E"][0][0])
    how = {"limit": 8, "apply_chat_template": True}
    assert figures(rows, "no-change") == pytest.approx(own_figures(asked, model, **how), rel=1e-9)
    assert figures(rows, "prompted") == pytest.approx(own_figures(asked, model, system, **how), rel=1e-9)
    plain = rows_of(bench(asked, store, handle, persona="E+", modes="prompted", limit=8))
    assert plain != rows


def test_random_directions_have_the_norm_of_the_persona_and_point_elsewhere(
    files: dict[str, Path], store: Path, handle: ModelHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    steered: list[dict[int, np.ndarray[Any, Any]]] = []

    def noting(self: Any, task: Any, intervention: Any, system: str | None, advance: Any) -> dict[str, Any]:
        deltas = {} if intervention is None else intervention.displacements
        steered.append({place: delta.numpy() for place, delta in deltas.items()})
        return run(self, task, intervention, system, advance)

    run = lm_eval_runs.Harness.run
    monkeypatch.setattr(lm_eval_runs.Harness, "run", noting)
    made = bench({"choices": files["choices"]}, store, handle, control_draws=2, modes="random-direction,persona")
    unchanged, persona, *drawn = steered
    assert unchanged == {}
    assert len(drawn) == 2
    heads, width = handle.geometry().heads, handle.geometry().head_dim
    for draw in drawn:
        assert draw.keys() == persona.keys()
        for place, delta in persona.items():
            norms = [np.linalg.norm(each.reshape(heads, width), axis=1) for each in (delta, draw[place])]
            np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
            moved = norms[0] > 0
            cosines = (delta * draw[place]).reshape(heads, width).sum(axis=1)[moved] / norms[0][moved] ** 2
            assert (np.abs(cosines) < 0.999).all()
    assert any(not np.allclose(drawn[0][place], drawn[1][place]) for place in persona)
    random = [row for row in rows_of(made) if row["condition"] == "random-direction"]
    assert [row["draws"] for row in random] == [2, 2]
    assert made.artifact is not None
    assert len(made.artifact.frame()) == 6
    assert {row["condition"] for row in made.artifact.read_json("rows.json")["against_random"]} == {"persona"}


def test_a_strength_of_zero_changes_nothing_and_is_run_once(
    files: dict[str, Path], store: Path, handle: ModelHandle
) -> None:
    made = bench({"choices": files["choices"]}, store, handle, alpha=0.0, modes="persona,random-direction")
    assert made.artifact is not None
    assert made.artifact.provenance["counts"]["runs"] == 1
    for row in rows_of(made)[1:]:
        if row["condition"] != "no-change":
            assert (row["difference"], row["low"], row["high"], row["changed"]) == (0.0, 0.0, 0.0, 0)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What is run: (task, which condition), as it is run."""
    done: list[tuple[str, Any]] = []

    def noting(self: Any, task: Any, intervention: Any, system: str | None, advance: Any) -> dict[str, Any]:
        found = run(self, task, intervention, system, advance)
        deltas = () if intervention is None else intervention.displacements.items()
        done.append((task.name, (system, tuple((place, delta.numpy().tobytes()) for place, delta in deltas))))
        return found

    run = lm_eval_runs.Harness.run
    monkeypatch.setattr(lm_eval_runs.Harness, "run", noting)
    return done


def test_a_run_that_ends_anywhere_is_resumed_and_nothing_is_run_twice(
    files: dict[str, Path],
    store: Path,
    handle: ModelHandle,
    runs: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    files = {name: files[name] for name in ("choices", "rolling")}
    shutil.copytree(store, tmp_path / "whole")
    whole = bench(files, tmp_path / "whole", handle, limit=8)
    total = len(runs)
    assert len(set(runs)) == total == 7
    runs.clear()
    noting = lm_eval_runs.Harness.run
    for stop in (2, 3):
        left = iter(range(stop))

        def dying(self: Any, *given: Any, left: Iterator[int] = left) -> dict[str, Any]:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return noting(self, *given)

        monkeypatch.setattr(lm_eval_runs.Harness, "run", dying)
        with pytest.raises(KeyboardInterrupt):
            bench(files, store, handle, limit=8)
    monkeypatch.setattr(lm_eval_runs.Harness, "run", noting)
    resumed = bench(files, store, handle, limit=8)
    assert len(runs) == len(set(runs)) == total
    assert resumed.artifact is not None
    assert whole.artifact is not None
    assert resumed.artifact.content_digest == whole.artifact.content_digest
    assert resumed.artifact.provenance["counts"]["runs_reused"] == 5
    again = bench(files, store, handle, limit=8)
    assert again.reused
    assert len(runs) == total
    one = bench({"rolling": files["rolling"]}, store, handle, limit=8, modes="persona")
    assert one.artifact is not None
    assert one.artifact.provenance["counts"] == {"runs": 2, "runs_reused": 2, "tokens_asked": 0, "tokens_run": 0}
    assert len(runs) == total


def test_a_killed_command_is_resumed_by_the_same_one(
    files: dict[str, Path], store: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    """SIGKILL once some runs are kept: the next one takes these, and comes to what a run that nobody kills does."""
    shutil.copytree(store, tmp_path / "whole")
    files = {name: files[name] for name in ("choices", "rolling")}
    command = [sys.executable, "-m", "pasctl", "bench-tasks", "--tasks", ",".join(str(path) for path in files.values())]
    command += ["--persona", "s01,s02,s03", "--alpha", "1,2", "--positions", "all", "--json", "--store"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, str(store)], env=environment, stdout=subprocess.DEVNULL)

    def kept() -> list[Path]:
        return list(store.glob("staging/*/parts/*.json*"))

    deadline = time.monotonic() + 120
    while len(kept()) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    left = len({path.name.partition(".")[0] for path in kept()})
    assert left >= 5
    found = []
    for place in (store, tmp_path / "whole"):
        done = subprocess.run(
            [*command, str(place)], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    resumed, whole = found
    assert resumed["rows"] == whole["rows"]
    assert resumed["content_digest"] == whole["content_digest"]
    assert resumed["counts"]["runs"] == whole["counts"]["runs"] == 2 * (1 + 3 * 2 * 2) + 3
    assert left - 1 <= resumed["counts"]["runs_reused"] <= left  # the last one may not have been whole
    assert resumed["counts"]["tokens_run"] < whole["counts"]["tokens_run"]


def test_other_documents_or_examples_are_other_runs(
    files: dict[str, Path], store: Path, handle: ModelHandle, runs: list[tuple[str, Any]], tmp_path: Path
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in MANY))
    path = tmp_path / "shots.yaml"
    path.write_text(f"task: shots\n{SHARED.replace('FILE', str(data))}{SHOTS}")
    few = {"modes": "persona", "limit": 8}
    bench({"shots": files["shots"]}, store, handle, **few)
    assert len(runs) == 2
    bench({"shots": path}, store, handle, **few)  # the same documents in another file
    assert len(runs) == 2
    bench({"shots": path}, store, handle, **few, num_fewshot=1)
    bench({"shots": path}, store, handle, **few, seed=5)  # draws other examples
    assert len(runs) == 6
    data.write_text("".join(f"{json.dumps({**row, 'label': (row['label'] + 1) % 4})}\n" for row in MANY))
    bench({"shots": path}, store, handle, **few)
    assert len(runs) == 8


def test_a_dry_run_says_what_would_be_run(files: dict[str, Path], store: Path, handle: ModelHandle) -> None:
    planned = bench({"choices": files["choices"]}, store, handle, dry_run=True)
    assert planned.artifact is None
    made = bench({"choices": files["choices"]}, store, handle)
    assert made.key == planned.key
    assert made.artifact is not None
    counts = made.artifact.provenance["counts"]
    assert planned.plan == {"runs": 4, "runs_to_do": 4, "tokens_asked": counts["tokens_asked"]}


def test_the_model_is_loaded_once_though_a_strength_is_chosen_first(
    files: dict[str, Path], store: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []
    read = pasctl.models.load.read_weights

    def reading(path: Path, **options: Any) -> Any:
        loads.append(path)
        return read(path, **options)

    monkeypatch.setattr("pasctl.models.load.read_weights", reading)
    assert "strengths" not in set(pasctl.Store(store).ls()["kind"])
    how = {"persona": "s01,s02", "positions": "all", "modes": "persona", "limit": 4, "store": store}
    made = pasctl.bench_tasks([str(files["choices"])], model=str(tiny_folder), **how)
    assert "strengths" in set(pasctl.Store(store).ls()["kind"])
    assert len(loads) == 1
    assert made.artifact is not None
    assert {row["persona"] for row in rows_of(made)} == {"", "s01", "s02"}
    assert pasctl.bench_tasks([str(files["choices"])], model=str(tiny_folder), **how).reused
    assert len(loads) == 1


def test_a_page_shows_what_was_found_and_the_command(
    files: dict[str, Path], store: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    how = {"persona": "s01", "alpha": "2", "positions": "all", "modes": "persona", "store": store}
    made = pasctl.bench_tasks([str(files["choices"])], model=str(tiny_folder), **how)
    assert made.artifact is not None
    page = report([made.artifact], tmp_path / "page.html", store=store).path.read_text(encoding="utf-8")
    assert "choices: acc, higher is better, 30 documents" in page
    assert "s01 at alpha 2" in page
    command = reproduce(Made.of(made.artifact))
    assert command.startswith("pasctl bench-tasks --tasks PATH/TO/choices.yaml --persona s01 --alpha 2")
    assert "--mode persona" in command


def test_batch_sizes_change_no_key(files: dict[str, Path], store: Path, handle: ModelHandle) -> None:
    first, second = (
        bench({"choices": files["choices"]}, store, handle, batch_size=size, dry_run=True).key for size in (1, 8)
    )
    assert first == second


def test_what_cannot_be_run_is_refused(
    files: dict[str, Path], store: Path, handle: ModelHandle, tmp_path: Path
) -> None:
    with pytest.raises(MissingError, match=r"task file none.yaml is not there"):
        bench({"none": Path("none.yaml")}, store, handle)
    with pytest.raises(InputError, match="no task is named"):
        bench({}, store, handle)
    with pytest.raises(InputError, match="mode fast is unknown, expected a comma list of persona, random-direction"):
        bench(files, store, handle, modes="fast")
    with pytest.raises(InputError, match="steered from the answer on, and tasks do not say where that is"):
        bench(files, store, handle, positions="answer")
    broken = tmp_path / "broken.yaml"
    broken.write_text("task: broken\noutput_type: multiple_choice\n" + SHARED.replace("FILE", str(files["choices"])))
    with pytest.raises(InputError, match=r"task .*broken.yaml cannot be run"):
        bench({"broken": broken}, store, handle)
    twin = tmp_path / "twin.yaml"
    twin.write_text(files["shots"].read_text().replace("task: shots", "task: choices"))
    with pytest.raises(InputError, match="two different tasks are called 'choices'"):
        bench({"choices": files["choices"], "twin": twin}, store, handle)
    away = tmp_path / "away.yaml"
    away.write_text(f"task: away\n{SHARED.replace('FILE', str(tmp_path / 'gone.jsonl'))}{TASKS['choices']}")
    with pytest.raises(MissingError, match=r"task .*away.yaml: its documents cannot be had"):
        bench({"away": away}, store, handle)


def test_a_group_has_the_figure_of_lm_eval_and_the_interval_of_all_documents(
    files: dict[str, Path], store: Path, tiny_folder: Path, handle: ModelHandle, tmp_path: Path
) -> None:
    """Weighted by documents it is the figure of all documents together; its draws are within each task."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in reversed(MANY[:22])))
    group = {}
    for name, weighted in (("even", False), ("all", True)):
        members = [yaml.safe_load(files["choices"].read_text()) for _ in range(2)]
        members[1]["dataset_kwargs"]["data_files"]["test"] = str(data)
        listed = [{**each, "task": f"{name}_{number}"} for number, each in enumerate(members)]
        group[name] = tmp_path / f"{name}.yaml"
        figures = [{"metric": "acc", "weight_by_size": weighted}]
        group[name].write_text(json.dumps({"group": name, "task": listed, "aggregate_metric_list": figures}))
    made = bench(group, store, handle, modes="persona")
    rows = rows_of(made)
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    own: Any = simple_evaluate(
        HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=8),
        tasks=list(group),
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    assert made.artifact is not None
    for name in group:
        for condition in ("no-change", "persona"):
            figure = {row["task"]: row for row in rows if row["metric"] == "acc" and row["condition"] == condition}
            first, second, whole = figure[f"{name}::{name}_0"], figure[f"{name}::{name}_1"], figure[name]
            weights = (30, 22) if name == "all" else (1, 1)
            expected = np.average([first["value"], second["value"]], weights=weights)
            assert whole["value"] == pytest.approx(expected, abs=1e-12)
            assert whole["documents"] == 52
            if condition == "no-change":
                assert whole["value"] == pytest.approx(own["groups"][name]["acc,none"], abs=1e-12)
            if condition == "persona":
                assert whole["low"] <= whole["difference"] <= whole["high"]
                assert whole["changed"] == first["changed"] + second["changed"]
                widths = [row["high"] - row["low"] for row in (first, second, whole)]
                assert widths[2] <= max(widths[:2])
