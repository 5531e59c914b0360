"""memory-eval from the command line: every task beside full attention and a window, trials kept, bad plans refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

FLAGS = [
    *("--n-init", 8, "--n-local", 160, "--n-mem", 48, "--chunk", 32, "--min-block", 4, "--max-block", 12),
    *("--dtype", "float32", "--max-new-tokens", 3),
]  # fmt: skip


def test_tasks_run_on_all_systems_and_are_kept(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("I worry about things. Vivid imagination. " * 400, encoding="utf-8")
    command = ["memory-eval", "--model", tiny_folder, *FLAGS, "--trials", 1, "--compare", "full,window", "--json"]
    tasks = ("--tasks", "passkey,needle,keyvalue,tracking,nll", "--lengths", "1500", "--text", text)
    first = warm.run(*command, *tasks, "--store", tmp_path / "store")
    assert first.returncode == 0, first.stderr
    found = first.document
    assert {(row["task"], row["system"]) for row in found["tasks"]} == {
        (task, system)
        for task in ("passkey", "needle", "keyvalue", "tracking")
        for system in ("memory", "window", "full")
    }
    shares = {row["system"]: row["attended"] for row in found["tasks"] if row["task"] == "passkey"}
    assert shares["window"] < shares["memory"] < shares["full"] == 1.0
    assert {row["system"] for row in found["nll"]} == {"memory", "window", "full"}
    assert found["counts"]["trials_reused"] == 0

    fewer = warm.run(*command, "--tasks", "passkey", "--lengths", "1500", "--store", tmp_path / "store")
    counts = fewer.document["counts"]
    assert (counts["trials_reused"], counts["tokens_run"]) == (3, 0)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--tasks", "riddle"), "riddle"),
        (("--tasks", "nll"), "text"),
        (("--lengths", "4q"), "4q"),
        (("--compare", "telepathy"), "telepathy"),
        (("--tasks", "passkey", "--lengths", "5"), "cannot hold"),
    ],
)
def test_bad_plans_are_refused_in_one_line(
    warm: Warm, tiny_folder: Path, tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    refused = warm.run("memory-eval", "--model", tiny_folder, *FLAGS, *flags, "--store", tmp_path)
    assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert "Traceback" not in refused.stderr
