from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pasctl.store import Store
from tests.store.conftest import lines
from tests.store.worker import SHARDS, build

pytestmark = pytest.mark.integration
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def undisturbed(tmp_path: Path) -> str:
    return build(Store(tmp_path / "undisturbed"))[0].content_digest


def check(root: Path) -> None:
    store = Store(root)
    assert store.verify(deep=True) == []
    assert list((root / "staging").iterdir()) == []
    assert len(store.artifacts()) == 1


def test_kill_at_every_file_operation_of_a_build(tmp_path: Path, start: Start, undisturbed: str) -> None:
    """SIGKILL before the n-th open, rename, link, mkdir, remove or database connection, for every n; then run again."""
    *records, last = _pairs(lines(start("crash_everywhere", tmp_path / "runs")))
    assert len(records) > 40
    assert not last[1]["killed"]
    assert all(steps["killed"] for _, steps in records)
    for built, steps in [*records, last]:
        assert steps["resumed"]
        assert built["digest"] == undisturbed, steps
        assert built["version"] == 1, steps
        check(tmp_path / "runs" / str(steps["step"]))
    computed = [built["computed"] for built, _ in records]
    assert computed == sorted(computed, reverse=True)  # the later the kill, the less is computed again
    assert set(computed) == set(range(SHARDS + 1))
    for built, steps in records:
        assert built["computed"] == (0 if steps["placed"] else SHARDS - steps["staged"]), steps


def _pairs(records: list[dict[str, object]]) -> list[tuple[dict[str, object], dict[str, object]]]:
    """(the build after the crash, the record of the step); the step that is not killed also reports its first build."""
    found = []
    for number, record in enumerate(records):
        if "step" in record:
            found.append((records[number - 1], record))
    return found


def test_kill_at_random_moments(tmp_path: Path, start: Start, undisturbed: str) -> None:
    root = tmp_path / "artifacts"
    draw, kills, finished = np.random.default_rng(0), 0, None
    for attempt in range(30):
        process = start("build", root, 0.05)
        assert process.stdout is not None
        process.stdout.readline()  # ready
        time.sleep(draw.uniform(0.0, 0.1 * (attempt + 1)))  # later and later, so that one gets through
        process.kill()
        out = process.communicate()[0]
        if out:
            finished = out
            break
        kills += 1
    assert kills >= 2
    assert finished is not None, "the shards of thirty killed runs did not add up to an artifact"
    assert Store(root).artifacts()[0].content_digest == undisturbed
    (report,) = lines(start("build", root, 0))[1:]
    assert (report["digest"], report["version"], report["computed"]) == (undisturbed, 1, 0)
    check(root)


def test_shards_of_a_killed_run_are_not_computed_again(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "artifacts"
    process = start("build", root, 0.2)
    while len(list(root.glob("staging/*/parts/rows-*"))) < 2:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    left = len(list(root.glob("staging/*/parts/rows-*")))
    assert build(Store(root))[1] == SHARDS - left
