"""The runner: a hit computes nothing, a failure loses nothing, a dry run writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.runner import Artifact, Store, find_input, run_job

STAGE = Stage("count", "activations", version=1)


def job(compute: Callable[[StageContext], Payload], *, seed: int = 0, inputs: dict[str, Artifact] | None = None) -> Job:
    return Job(
        stage=STAGE,
        model="tiny",
        label="numbers",
        params={"upto": 3},
        inputs=inputs or {},
        identity={"kind": "none"},
        numerics={"seed": seed},
        compute=compute,
        provenance={"model": {"spec": "/models/Tiny"}},
        estimate=lambda: {"numbers": 3},
    )


def numbers(work: StageContext) -> Payload:
    work.provenance["counts"] = {"numbers": 3}
    return {"numbers.safetensors": {"numbers": np.arange(3)}, "words.json": {"one": 1}}


def never(work: StageContext) -> Payload:
    raise AssertionError("computed again")


class Listener:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, description: str, total: int, unit: str) -> Any:
        raise AssertionError("not used here")


def test_the_second_run_is_a_hit_with_the_same_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = run_job(store, job(numbers))
    second = run_job(store, job(never))
    assert (first.reused, second.reused) == (False, True)
    assert first.artifact is not None
    assert second.artifact == first.artifact
    assert first.to_json()["counts"] == {"numbers": 3}
    np.testing.assert_array_equal(first.artifact.read_arrays("numbers.safetensors")["numbers"], np.arange(3))


@pytest.mark.parametrize("label", ["a/b", "x" * 101, ""])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_label_that_no_name_can_have_is_refused_before_anything_is_computed(
    tmp_path: Path, label: str, dry_run: bool
) -> None:
    with pytest.raises(InputError, match="label"):
        run_job(Store(tmp_path / "store"), replace(job(never), label=label), dry_run=dry_run)
    assert not (tmp_path / "store").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    outcome = run_job(Store(root), job(never), dry_run=True)
    assert outcome.artifact is None
    assert outcome.plan == {"numbers": 3}
    assert not root.exists()
    made = run_job(Store(root), job(numbers))
    assert made.key == outcome.key
    assert run_job(Store(root), job(never), dry_run=True).artifact == made.artifact


def test_a_failed_run_leaves_its_finished_files_to_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tried = []

    def compute(work: StageContext) -> Payload:
        for part in range(3):
            name = f"parts/{part}.safetensors"
            if not work.has(name):
                tried.append(part)
                if len(tried) == 2:
                    raise KeyboardInterrupt
                work.write(name, {"value": np.array([part])})
        values = [int(work.read_tensors(f"parts/{part}.safetensors")["value"][0]) for part in range(3)]
        return {"values.json": values}

    with pytest.raises(KeyboardInterrupt):
        run_job(store, job(compute))
    done = run_job(store, job(compute))
    assert tried == [0, 1, 1, 2]
    assert done.artifact is not None
    assert done.artifact.read_json("values.json") == [0, 1, 2]
    assert done.artifact.files() == ["values.json"]
    undisturbed = run_job(Store(tmp_path / "other"), job(lambda work: {"values.json": [0, 1, 2]}))
    assert undisturbed.artifact is not None
    assert done.artifact.content_digest == undisturbed.artifact.content_digest


def test_the_inputs_contents_are_in_the_key_and_are_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = run_job(store, job(numbers)).artifact
    two = run_job(store, job(lambda work: {"words.json": {"one": 2}}, seed=1)).artifact
    assert one is not None
    assert two is not None
    listener = Listener()
    with_one = run_job(store, job(numbers, inputs={"source": one}), reporter=listener)
    with_two = run_job(store, job(numbers, inputs={"source": two}))
    assert with_one.key != with_two.key
    assert listener.notes == [f"reading {one.name}"]
    assert with_one.inputs == {"source": one.name}


def test_the_latest_input_that_fits_is_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = run_job(store, job(numbers)).artifact
    second = run_job(store, job(numbers, seed=1)).artifact
    assert find_input(store, "activations", None) == second
    assert find_input(store, "activations", None, fits=lambda each: each == first) == first
    assert find_input(store, "activations", first) == first
    with pytest.raises(MissingError, match="holds no activations of qwen") as raised:
        find_input(store, "activations", None, fits=lambda each: False, wanted="of qwen")
    assert raised.value.hint == "run `pasctl extract` first"


def test_a_result_that_was_asked_for_again_is_the_latest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = run_job(store, job(numbers)).artifact
    second = run_job(store, job(numbers, seed=1)).artifact
    assert run_job(store, job(never), dry_run=True).artifact == first
    assert find_input(store, "activations", None) == second
    run_job(store, job(never))
    assert find_input(store, "activations", None) == first
