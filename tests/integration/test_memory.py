"""memory-run and memory-ask from the command line: read once, ask later, go on after a kill, refuse what is wrong."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import PasctlRun
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

SMALL = [
    *("--n-init", 8, "--n-local", 64, "--n-mem", 48, "--chunk", 16, "--min-block", 4, "--max-block", 12),
    *("--dtype", "float32", "--max-new-tokens", 6),
]  # fmt: skip
WORDS = "I am the life of the party. I worry about things. Vivid imagination {n} statement describe you? Answer: {m}. "


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text("".join(WORDS.format(n=n, m=n * 7 % 13) for n in range(60)), encoding="utf-8")
    return path


def answers(out: str) -> list[str]:
    return [json.loads(line)["answer"] for line in out.splitlines() if '"answer"' in line]


def test_a_text_is_read_once_and_asked_by_another_process(
    run_pasctl: PasctlRun, warm: Warm, tiny_folder: Path, other_tiny_folder: Path, text: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    questions = ["Who worries?", "What is the answer to statement 41?"]
    ask = [part for question in questions for part in ("--ask", question)]
    first = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, *ask, "--json", store=store)
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout.splitlines()[0])
    assert made["name"] == "memory/tiny-a/story@v1"
    assert made["counts"]["tokens_run"] > 1000

    later = run_pasctl("memory-ask", "memory/tiny-a/story", *questions, "--max-new-tokens", 6, "--json", store=store)
    assert later.returncode == 0, later.stderr
    assert answers(later.stdout) == answers(first.stdout)
    recalled = json.loads(later.stdout.splitlines()[0])["recalled"]
    assert {entry["layer"] for entry in recalled} == {0, 1, 2}

    again = warm.run("memory-run", text, "--model", tiny_folder, *SMALL, "--store", store)
    assert "already in the store" in again.stdout

    other = warm.run("memory-ask", "latest", "Who?", "--model", other_tiny_folder, "--store", store)
    assert other.returncode == 2
    assert "another model" in other.stderr

    [segment, *_] = sorted((store / "objects" / "memory").rglob("segments/*.safetensors"))
    data = bytearray(segment.read_bytes())
    data[-5] ^= 1
    segment.write_bytes(data)
    damaged = warm.run("memory-ask", "memory/tiny-a/story", "Who?", "--store", store)
    assert damaged.returncode == 4
    assert segment.name in damaged.stderr


def test_a_killed_run_goes_on_and_gives_the_same_memory(
    warm: Warm, tiny_folder: Path, text: Path, tmp_path: Path
) -> None:
    text.write_text(text.read_text(encoding="utf-8") * 4, encoding="utf-8")
    store = tmp_path / "store"
    command = ["memory-run", text, "--model", tiny_folder, *SMALL, "--json", "--store"]
    process = warm.start(*command, store)
    process.wait_for(lambda: len(list((store / "staging").rglob("segments/*.safetensors.*"))) >= 5)
    process.signal(signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    resumed = warm.run(*command, store)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after token" in resumed.stderr
    made = resumed.document
    assert made["counts"]["tokens_resumed"] > 0

    whole = warm.run(*command, tmp_path / "other").document
    assert whole["counts"]["tokens_resumed"] == 0
    assert whole["key"] == made["key"]
    assert whole["content_digest"] == made["content_digest"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"abc\0def", "is binary: byte 3"),
        (b"one\ntwo \xff three", "not UTF-8: byte 8 (line 2) is 0xff"),
    ],
)
def test_bad_texts_are_refused_in_one_line(
    warm: Warm, tiny_folder: Path, tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    refused = warm.run("memory-run", path, "--model", tiny_folder, "--store", tmp_path / "store")
    assert refused.returncode == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


def test_other_bad_input(warm: Warm, tiny_folder: Path, text: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    missing = warm.run("memory-run", tmp_path / "none.txt", "--model", tiny_folder, "--store", store)
    assert (missing.returncode, "none.txt" in missing.stderr) == (3, True)
    sizes = ("--n-mem", 16, "--max-block", 128)
    small = warm.run("memory-run", text, "--model", tiny_folder, *sizes, "--store", store)
    assert (small.returncode, "max_block 128" in small.stderr) == (2, True)
    planned = warm.run("memory-run", text, "--model", tiny_folder, *SMALL, "--dry-run", "--json", "--store", store)
    assert planned.document["plan"]["tokens"] > 1000
    assert not (store / "objects").exists() or not any((store / "objects").rglob("*.safetensors"))
    empty = warm.run("memory-ask", "latest", "Who?", "--store", store)
    assert empty.returncode == 3
    asked = warm.run("memory-run", text, "--model", tiny_folder, *SMALL, "--ask", " ", "--store", store)
    assert (asked.returncode, "empty" in asked.stderr, "loading" in asked.stderr) == (2, True, False)
    made = warm.run("memory-run", text, "--model", tiny_folder, *SMALL, "--store", store)
    assert made.returncode == 0, made.stderr
    long = warm.run("memory-ask", "memory/tiny-a/story", "why? " * 400, "--store", store)
    assert long.returncode == 0, long.stderr
    shutil.rmtree(store)
