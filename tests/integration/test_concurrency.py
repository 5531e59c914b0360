"""Two processes that start the same stage at once: one artifact, no error, and one says that it waits and on whom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

_WAITS = re.compile(r"^waiting for process (\d+) on \S+ ", re.MULTILINE)


@pytest.mark.parametrize("stage", ["extract", "eval"])
def test_two_processes_make_one_artifact(stage: str, warm: Warm, fitted_store: Path, tiny_folder: Path) -> None:
    slow = {
        # another seed is another key: nothing of it is in the store
        "extract": [
            "--model",
            tiny_folder,
            "--answers",
            "all",
            "--items",
            "all",
            "--seed",
            "1",
            "--batch-tokens",
            "64",
        ],
        "eval": ["--mode", "pas", "--alpha", "1,2,3,4", "--reading", "letters", "--batch-tokens", "256"],
    }
    command = [stage, *slow[stage], "--dtype", "float32", "--json", "--store", fitted_store]
    processes = [warm.start(*command) for _ in range(2)]
    done = [process.wait() for process in processes]

    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    first, second = (each.document for each in done)
    for field in ("key", "content_digest", "name", "path"):
        assert first[field] == second[field]
    assert sorted([first["reused"], second["reused"]]) == [False, True]

    waiting = [_WAITS.findall(each.stderr) for each in done]
    waiter = 0 if waiting[0] else 1
    assert waiting[waiter] == [str(processes[1 - waiter].pid)], [each.stderr for each in done]
    assert waiting[1 - waiter] == []
    assert done[waiter].document["reused"] is True
    assert "loading" not in done[waiter].stderr  # it never needed the model

    found = warm.run(
        "store", "ls", "--json", "--kind", "activations" if stage == "extract" else "results", "--store", fitted_store
    )
    assert [each["key"] for each in found.document].count(first["key"]) == 1
    assert not list(fitted_store.glob("staging/*/*"))
    assert warm.run("store", "verify", "--deep", "--store", fitted_store).returncode == 0


def test_different_work_in_one_store_does_not_wait(warm: Warm, tmp_path: Path, tiny_folder: Path) -> None:
    """Also the first use of a store by several processes at once, which all want to make its index."""
    store = tmp_path / "artifacts"
    processes = [
        warm.start("extract", "--model", tiny_folder, "--seed", seed, "--json", "--store", store) for seed in range(4)
    ]
    done = [process.wait() for process in processes]
    assert [each.returncode for each in done] == [0] * 4, [each.stderr for each in done]
    assert not any(_WAITS.search(each.stderr) for each in done)
    assert len({each.document["key"] for each in done}) == 4
    names = [each.document["name"] for each in done]
    others = {f"activations/tiny-a/builtin~seed-{seed}@v1" for seed in range(4)}
    assert names.count("activations/tiny-a/builtin@v1") == 1  # of whichever came first
    assert len(others.intersection(names)) == 3


def test_waiter_takes_over_when_the_other_dies(warm: Warm, tmp_path: Path, tiny_folder: Path, large_papi: Path) -> None:
    command = ["extract", "--model", tiny_folder, "--inventory", f"papi:{large_papi}", "--batch-tokens", "64"]
    command += ["--answers", "all", "--items", "all", "--dtype", "float32", "--json", "--store", tmp_path / "artifacts"]
    first = warm.start(*command)
    first.wait_for(lambda: any(tmp_path.glob("artifacts/staging/*/head_outputs/*")))
    second = warm.start(*command)
    second.wait_for(lambda: f"waiting for process {first.pid} " in second.err)
    first.signal(9)
    assert first.wait().returncode == -9
    done = second.wait()
    assert done.returncode == 0, done.stderr
    assert done.document["reused"] is False
    assert done.document["counts"]["items_resumed"] >= 32
