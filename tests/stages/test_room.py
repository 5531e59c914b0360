"""What a stage needs of the store while it runs: room on the disk, and inputs that stay."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import MissingError, PasctlError, StoreError
from pasctl.stages.extract import extract
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.runner import Artifact, Store, run_job
from pasctl.stages.train_probes import train_probes
from pasctl.store.collect import Rules, collect
from pasctl.store.removal import remove_named
from tests.store.disk_calls import Disk, fail_at, refuse
from tests.tiny import tiny_loaded

EVERYTHING = Rules(older_than=0.0, grace=0.0)


def numbers(work: StageContext) -> Payload:
    return {"numbers.safetensors": {"numbers": np.arange(3)}}


def job(compute: object = numbers, *, seed: int = 0, inputs: dict[str, Artifact] | None = None, room: int = 0) -> Job:
    return Job(
        stage=Stage("count", "export", version=1),
        model="tiny",
        label="numbers",
        params={},
        inputs=inputs or {},
        identity=None,
        numerics={"seed": seed},
        compute=compute,  # type: ignore[arg-type]
        writes=lambda: room,
    )


def never(work: StageContext) -> Payload:
    raise AssertionError("computed")


def test_a_stage_that_the_disk_has_no_room_for_does_not_begin(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    store = Store(tmp_path / "artifacts")
    with pytest.raises(StoreError, match=r"free, and this will write"):
        run_job(store, job(never, room=2 * free))
    assert run_job(store, job(room=3)).artifact is not None
    assert run_job(store, job(never, room=2 * free)).reused  # what is there needs no more room
    assert run_job(store, job(never, seed=1, room=2 * free), dry_run=True).artifact is None


def test_an_extraction_knows_what_it_will_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    model = tiny_loaded()
    made = extract(model, store=tmp_path / "first").artifact
    assert made is not None
    size = sum(entry["size"] for entry in made.manifest["files"] if entry["name"].startswith("head_outputs/"))
    for free, fits in ((int(0.9 * size), False), (int(1.1 * size) + 10_000, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda place, free=free: usage._replace(free=free))
        if fits:
            assert extract(model, store=tmp_path / "second").artifact == made
        else:
            with pytest.raises(StoreError, match="this will write"):
                extract(model, store=tmp_path / "second")


def test_inputs_stay_while_a_stage_runs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    source = run_job(store, job()).artifact
    assert source is not None

    def compute(work: StageContext) -> Payload:
        assert collect(store, EVERYTHING).removal.artifacts == []
        return numbers(work)

    made = run_job(store, job(compute, seed=1, inputs={"source": source})).artifact
    assert made is not None
    assert len(collect(store, EVERYTHING).removal.artifacts) == 2
    assert store.verify(deep=True) == []


def test_an_input_that_has_gone_is_said_before_the_work_begins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    source = run_job(store, job()).artifact
    assert source is not None
    remove_named(store, [source.name])
    with pytest.raises(MissingError, match="numbers@v1 was removed from the store"):
        run_job(store, job(never, seed=1, inputs={"source": source}))


@pytest.mark.integration
def test_calls_of_a_real_stage_refused_once(tmp_path: Path) -> None:
    template = tmp_path / "template"
    extract(tiny_loaded(), store=template)

    def train(root: Path) -> Artifact:
        artifact = train_probes(personas="builtin:0-2", store=root).artifact
        assert artifact is not None
        return artifact

    before, calls = fail_at(-1, refuse(0))
    with Disk(shutil.copytree(template, tmp_path / "counted"), before).watch():
        digest = train(tmp_path / "counted").content_digest
    assert len(calls) > 30
    for step in range(1, len(calls) + 1, 8):  # every one of the light stage is in tests/store/test_failpoints.py
        root = shutil.copytree(template, tmp_path / str(step))
        try:
            with Disk(root, fail_at(step, refuse(errno.EIO))[0]).watch():
                train(root)
        except (PasctlError, OSError):
            pass
        store = Store(root)
        assert [problem for problem in store.verify(deep=True) if not problem.note] == [], step
        assert train(root).content_digest == digest, step
        assert store.verify(deep=True) == [], step
