"""memory-run and memory-ask from the command line: read once, ask later, go on after a kill, refuse what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PasctlRun

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
    run_pasctl: PasctlRun, tiny_folder: Path, other_tiny_folder: Path, text: Path, tmp_path: Path
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

    again = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, store=store)
    assert "already in the store" in again.stdout

    other = run_pasctl("memory-ask", "latest", "Who?", "--model", other_tiny_folder, store=store)
    assert other.returncode == 2
    assert "another model" in other.stderr

    [segment, *_] = sorted((store / "objects" / "memory").rglob("segments/*.safetensors"))
    data = bytearray(segment.read_bytes())
    data[-5] ^= 1
    segment.write_bytes(data)
    damaged = run_pasctl("memory-ask", "memory/tiny-a/story", "Who?", store=store)
    assert damaged.returncode == 4
    assert segment.name in damaged.stderr


def test_a_killed_run_goes_on_and_gives_the_same_memory(
    run_pasctl: PasctlRun, clean_environment: dict[str, str], tiny_folder: Path, text: Path, tmp_path: Path
) -> None:
    text.write_text(text.read_text(encoding="utf-8") * 20, encoding="utf-8")
    store = tmp_path / "store"
    command = [sys.executable, "-m", "pasctl", "memory-run", text, "--model", tiny_folder, *SMALL, "--store", store]
    process = subprocess.Popen([str(part) for part in command], env=clean_environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if len(list((store / "staging").rglob("segments/*.safetensors.*"))) >= 5:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    resumed = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, "--json", store=store)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on behind token" in resumed.stderr
    made = json.loads(resumed.stdout)
    assert made["counts"]["tokens_resumed"] > 0

    undisturbed = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, "--json", store=tmp_path / "other")
    whole = json.loads(undisturbed.stdout)
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
    run_pasctl: PasctlRun, tiny_folder: Path, tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    refused = run_pasctl("memory-run", path, "--model", tiny_folder, store=tmp_path / "store")
    assert refused.returncode == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


def test_other_bad_input(run_pasctl: PasctlRun, tiny_folder: Path, text: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    missing = run_pasctl("memory-run", tmp_path / "none.txt", "--model", tiny_folder, store=store)
    assert (missing.returncode, "none.txt" in missing.stderr) == (3, True)
    small = run_pasctl("memory-run", text, "--model", tiny_folder, "--n-mem", 16, store=store)
    assert (small.returncode, "max_block 128" in small.stderr) == (2, True)
    planned = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, "--dry-run", "--json", store=store)
    assert json.loads(planned.stdout)["plan"]["tokens"] > 1000
    assert not (store / "objects").exists() or not any((store / "objects").rglob("*.safetensors"))
    empty = run_pasctl("memory-ask", "latest", "Who?", store=store)
    assert empty.returncode == 3
    for question, told in (("why? " * 400, "n_local"), (" ", "empty")):  # before the text is read
        asked = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, "--ask", question, store=store)
        assert (asked.returncode, told in asked.stderr, "loading" in asked.stderr) == (2, True, False)
    made = run_pasctl("memory-run", text, "--model", tiny_folder, *SMALL, store=store)
    assert made.returncode == 0, made.stderr
    long = run_pasctl("memory-ask", "memory/tiny-a/story", "why? " * 400, store=store)
    assert (long.returncode, "n_local" in long.stderr) == (2, True)
    shutil.rmtree(store)
