"""A run that is killed anywhere: the same command computes what is missing, and comes to the same result."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import LARGE_PAPI_ITEMS as ITEMS
from tests.integration.warm import Done, Warm

pytestmark = pytest.mark.integration

_DICE = random.Random(8)
MOMENTS = sorted(round(_DICE.random(), 3) for _ in range(4))  # as shares of an undisturbed run's time
_SHARD = re.compile(r"(\d{5})-(\d{5})\.safetensors\.[0-9a-f]{64}")


@dataclass(frozen=True)
class Whole:
    """An undisturbed run: the command without its store, the store to begin with, and what it came to."""

    command: list[object]
    beginning: Path | None
    seconds: float
    digest: str
    counts: dict[str, int]

    def begin(self, store: Path) -> list[object]:
        """The command on a store in which it has not run yet."""
        if self.beginning is not None:
            shutil.copytree(self.beginning, store)
        return [*self.command, "--store", store]


def _undisturbed(warm: Warm, command: list[object], beginning: Path | None, folder: Path) -> Whole:
    whole = Whole(command, beginning, 0.0, "", {})
    began = time.monotonic()
    done = warm.run(*whole.begin(folder / "artifacts"))
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    return Whole(command, beginning, seconds, done.document["content_digest"], done.document["counts"])


@pytest.fixture(scope="module")
def extraction(warm: Warm, tiny_folder: Path, large_papi: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    # small batches make it slow enough to be killed in the middle
    command = ["extract", "--model", tiny_folder, "--inventory", f"papi:{large_papi}", "--items", "all"]
    command += ["--dtype", "float32", "--batch-tokens", "256", "--json"]
    return _undisturbed(warm, command, None, tmp_path_factory.mktemp("extraction"))


@pytest.fixture(scope="module")
def evaluation(warm: Warm, fitted_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Four personas under three conditions at four strengths: 4 x 4 distinct units, and one for no-change."""
    command = [
        "eval",
        "--mode",
        "no-change,personality-prompt,pas",
        "--alpha",
        "1,2,4",
        "--reading",
        "letters",
        "--json",
    ]
    return _undisturbed(
        warm, [*command, "--batch-tokens", "2048"], fitted_master, tmp_path_factory.mktemp("evaluation")
    )


def _staged_items(store: Path) -> int:
    """Items of the finished shards that lie in staging."""
    found = [_SHARD.fullmatch(path.name) for path in store.glob("staging/*/head_outputs/*")]
    return sum(int(match[2]) - int(match[1]) for match in found if match)


def _staged_units(store: Path) -> int:
    return len({path.name for path in store.glob("staging/*/parts/*.safetensors.*") if ".tmp" not in path.name})


def _check_extraction(done: Done, whole: Whole, staged: int) -> None:
    """`done` took up the `staged` items, ran the others, and has the undisturbed run's content."""
    assert done.returncode == 0, done.stderr
    assert "waiting" not in done.stderr  # nobody waits for the dead
    document = done.document
    assert document["content_digest"] == whole.digest
    if document["reused"]:  # killed after the commit
        return
    assert document["counts"]["items_resumed"] == staged
    if staged == ITEMS:
        assert document["counts"]["tokens_run"] == 0
    assert (document["counts"]["tokens_run"] < whole.counts["tokens_run"]) == (staged > 0)


def _check_evaluation(done: Done, whole: Whole, staged: int) -> None:
    assert done.returncode == 0, done.stderr
    assert "waiting" not in done.stderr
    document = done.document
    assert document["content_digest"] == whole.digest
    if document["reused"]:
        return
    assert document["counts"]["units_reused"] == staged
    assert (document["counts"]["tokens_run"] < whole.counts["tokens_run"]) == (staged > 0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_extract_killed_at_a_random_moment(moment: float, extraction: Whole, warm: Warm, tmp_path: Path) -> None:
    store = tmp_path / "artifacts"
    command = extraction.begin(store)
    process = warm.start(*command)
    time.sleep(moment * extraction.seconds)
    process.signal(signal.SIGKILL)
    assert process.wait().returncode in (-signal.SIGKILL, 0)
    staged = _staged_items(store)
    _check_extraction(warm.run(*command), extraction, staged)


@pytest.mark.parametrize("moment", MOMENTS)
def test_eval_killed_at_a_random_moment(moment: float, evaluation: Whole, warm: Warm, tmp_path: Path) -> None:
    store = tmp_path / "artifacts"
    command = evaluation.begin(store)
    process = warm.start(*command)
    time.sleep(moment * evaluation.seconds)
    process.signal(signal.SIGKILL)
    assert process.wait().returncode in (-signal.SIGKILL, 0)
    staged = _staged_units(store)
    _check_evaluation(warm.run(*command), evaluation, staged)


def test_extract_killed_again_and_again(extraction: Whole, warm: Warm, tmp_path: Path) -> None:
    """Each run is killed two shards further on: every one begins where the last ended, and none computes twice."""
    store = tmp_path / "artifacts"
    command = extraction.begin(store)
    staged = [0]
    while staged[-1] < ITEMS - 100:
        process = warm.start(*command)
        process.wait_for(lambda: _staged_items(store) >= staged[-1] + 64)
        process.signal(signal.SIGKILL)
        assert process.wait().returncode == -signal.SIGKILL
        staged.append(_staged_items(store))
    done = warm.run(*command)
    _check_extraction(done, extraction, staged[-1])
    assert 0 < done.document["counts"]["items_resumed"] < ITEMS


def test_eval_killed_in_the_middle(evaluation: Whole, warm: Warm, tmp_path: Path) -> None:
    store = tmp_path / "artifacts"
    command = evaluation.begin(store)
    process = warm.start(*command)
    process.wait_for(lambda: _staged_units(store) >= 5)
    process.signal(signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    staged = _staged_units(store)
    done = warm.run(*command)
    _check_evaluation(done, evaluation, staged)
    assert 5 <= done.document["counts"]["units_reused"] < evaluation.counts["units"]


def test_torn_shard_is_computed_again(extraction: Whole, warm: Warm, tmp_path: Path) -> None:
    """A disk that lost the end of a shard at a power cut does not get it into the artifact."""
    store = tmp_path / "artifacts"
    command = extraction.begin(store)
    process = warm.start(*command)
    process.wait_for(lambda: _staged_items(store) >= 96)
    process.signal(signal.SIGKILL)
    process.wait()
    shard = min(store.glob("staging/*/head_outputs/*.safetensors.*"))
    shard.write_bytes(shard.read_bytes()[:-8])
    staged = _staged_items(store) - 32
    _check_extraction(warm.run(*command), extraction, staged)


@pytest.mark.parametrize("stage", ["extract", "eval"])
def test_interrupt_ends_in_one_line_and_keeps_the_work(
    stage: str, extraction: Whole, evaluation: Whole, warm: Warm, tmp_path: Path
) -> None:
    store = tmp_path / "artifacts"
    whole, staged = (extraction, _staged_items) if stage == "extract" else (evaluation, _staged_units)
    command = whole.begin(store)
    process = warm.start(*command)
    process.wait_for(lambda: staged(store) > 1)
    process.signal(signal.SIGINT)
    done = process.wait()
    _assert_interrupted(done)
    kept = staged(store)
    assert kept > 1
    check = _check_extraction if stage == "extract" else _check_evaluation
    check(warm.run(*command), whole, kept)


def test_interrupt_while_the_model_loads(tiny_folder: Path, clean_environment: dict[str, str], tmp_path: Path) -> None:
    """Importing torch takes seconds, so this is when people press Ctrl-C."""
    err = tmp_path / "err"
    with err.open("w") as stream:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pasctl",
                "extract",
                "--model",
                str(tiny_folder),
                "--store",
                str(tmp_path / "store"),
            ],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env=clean_environment,
        )
    until = time.monotonic() + 60
    while "loading" not in err.read_text() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    # Where the interrupt strikes code that a C extension runs while it is imported, CPython ends by the signal itself,
    # although the interrupt was handled. A shell shows 130 for that too.
    code = 130 if process.returncode == -signal.SIGINT else process.returncode
    _assert_interrupted(Done(code, out, err.read_text()))


def _assert_interrupted(done: Done) -> None:
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if not line.startswith(("loading ", "reading "))]
    assert len(told) == 1, done.stderr
    assert told[0].startswith("interrupted")
