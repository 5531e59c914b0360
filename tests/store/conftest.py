"""Fixtures of the store's tests: an empty store, and processes that work on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.store import Store

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory, where the system has that: a sync costs nothing there."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts worker processes; whatever still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []
    path = os.pathsep.join([str(Path(pasctl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def launch(
        *arguments: object, before: tuple[str, ...] = (), worker: Path = WORKER, stdin: int | None = None
    ) -> subprocess.Popen[str]:
        command = [*before, sys.executable, str(worker), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        started.append(process)
        return process

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a worker printed, after it has ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]
