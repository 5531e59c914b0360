"""memory-eval from the command line: every task beside full attention and a window, trials kept, bad plans refused."""

from __future__ import annotations

import json
from importlib.util import find_spec
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


SYSTEMS = "full,window,bm25,fixed,random,random-retrieval"


def test_more_tasks_than_a_label_has_room_for_are_named_by_the_first(
    warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    command = ["memory-eval", "--model", tiny_folder, *FLAGS, "--trials", 1, "--tasks", "ruler", "--lengths", 1500]
    done = warm.run(*command, "--json", "--store", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.document["name"] == "trials/tiny-a/niah-single-1-and-12-more@v1"


def test_benchmarks_files_run_on_all_systems_and_are_kept(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    story = "I worry about things. Vivid imagination. " * 60
    longbench, array = tmp_path / "longbench.jsonl", tmp_path / "array.json"
    records = [
        {"context": story, "input": f"Who {name}?", "answers": "Anna", "dataset": "hotpotqa", "all_classes": None}
        for name in ("rang", "ran")
    ]
    longbench.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    array.write_text(json.dumps([{**records[0], "dataset": "lcc", "input": ""}]), encoding="utf-8")
    command = ["memory-eval", "--model", tiny_folder, *FLAGS, "--data-tokens", 3, "--store", tmp_path / "store"]
    data = ("--data", longbench, "--data", array, "--format", "longbench", "--compare", SYSTEMS)
    first = warm.run(*command, *data, "--json")
    assert first.returncode == 0, first.stderr
    systems = ["memory", *SYSTEMS.split(",")]
    rows = {(row["task"], row["system"]): row for row in first.document["benchmarks"]}
    assert set(rows) == {(task, system) for task in ("hotpotqa", "lcc") for system in systems}
    assert first.document["tasks"] == []
    of_qa = {system: rows["hotpotqa", system] for system in systems}
    budget = 8 + 160 + 48
    for system in set(systems) - {"full"}:
        assert of_qa[system]["attended_tokens"] <= budget + 32  # a chunk is read before the window slides
    assert of_qa["full"]["attended_tokens"] == of_qa["full"]["tokens"] > 2 * budget
    assert of_qa["window"]["held_bytes"] < of_qa["memory"]["held_bytes"] == of_qa["full"]["held_bytes"]
    assert of_qa["bm25"]["held_bytes"] < of_qa["full"]["held_bytes"]
    assert all(row["cut"] == row["trials"] for row in of_qa.values())

    changed = [records[1], {**records[0], "input": "Who?"}]
    longbench.write_text("\n".join(map(json.dumps, changed)), encoding="utf-8")
    again = warm.run(*command, *data, "--json")
    counts = again.document["counts"]
    assert (counts["trials"], counts["trials_reused"]) == (21, 14)
    shown = warm.run(*command, *data)
    assert shown.stdout.count("random-retrieval") == 2
    assert "hotpotqa" in shown.stdout
    ref, page = again.document["name"], tmp_path / "report.html"
    report = warm.run("report", ref, "--store", tmp_path / "store", "--output", page)
    assert report.returncode == 0, report.stderr
    assert "Scores by task and system" in page.read_text(encoding="utf-8")


@pytest.mark.skipif(find_spec("kvpress") is not None, reason="kvpress is installed")
def test_without_kvpress_a_press_is_refused_before_the_model_is_loaded(
    warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    refused = warm.run("memory-eval", "--model", tiny_folder, *FLAGS, "--compare", "press-snapkv", "--store", tmp_path)
    assert (refused.returncode, "pip install --no-deps kvpress==" in refused.stderr) == (3, True), refused.stderr
    assert "loading" not in refused.stderr


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("--data", "none.jsonl"), 2, "--format"),
        (("--format", "ruler"), 2, "--data"),
        (("--limit", "3"), 2, "--data"),
        (("--data", "none.jsonl", "--format", "ruler"), 3, "does not exist"),
        (("--data", "none.jsonl", "--format", "rulers"), 2, "ruler"),
    ],
)
def test_bad_data_is_refused_in_one_line(
    warm: Warm, tiny_folder: Path, tmp_path: Path, flags: tuple[str, ...], code: int, told: str
) -> None:
    refused = warm.run("memory-eval", "--model", tiny_folder, *FLAGS, *flags, "--store", tmp_path)
    assert (refused.returncode, told in refused.stderr) == (code, True), refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--tasks", "riddle"), "riddle"),
        (("--tasks", "nll"), "text"),
        (("--lengths", "4q"), "4q"),
        (("--compare", "telepathy"), "telepathy"),
        (("--compare", "press-snapkv", "--tasks", "nll", "--text", "none.txt"), "press-snapkv"),
        (("--tasks", "passkey", "--lengths", "5"), "cannot hold"),
    ],
)
def test_bad_plans_are_refused_in_one_line(
    warm: Warm, tiny_folder: Path, tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    refused = warm.run("memory-eval", "--model", tiny_folder, *FLAGS, *flags, "--store", tmp_path)
    assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert "Traceback" not in refused.stderr
