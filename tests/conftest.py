"""Fixtures for all tests: tiny model folders, and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pasctl

# two threads on a machine whose other core is busy run many times slower; torch reads this when it is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background leaves SIGINT ignored, and every process below would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

PasctlRun = Callable[..., subprocess.CompletedProcess[str]]

_FOREIGN = ("PASCTL_", "HF_", "TRANSFORMERS_", "PYTHON", "XDG_")  # settings that must not leak into a test
_SECONDS = 120


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 of three layers as a model folder; nobody writes to it."""
    from tests.tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-a", seed=0)


@pytest.fixture(scope="session")
def other_tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same architecture and tokenizer with other weights."""
    from tests.tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-b", seed=1)


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment without settings of pasctl or the hub, with caches that are empty, and one thread."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return kept | {
        "PYTHONPATH": str(Path(pasctl.__file__).parents[1]),
        "HF_HOME": str(home / "huggingface"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PASCTL_CACHE": str(home / "pasctl"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@pytest.fixture
def run_pasctl(clean_environment: dict[str, str], tmp_path: Path) -> PasctlRun:
    """Runs `pasctl ARGUMENTS...` in a new process, as a user would; `before` stands in front of the command."""

    def run(
        *arguments: object,
        env: Mapping[str, str] | None = None,
        store: Path | str | None = None,
        folder: Path = tmp_path,
        before: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        command = [*before, sys.executable, "-m", "pasctl", *map(str, arguments)]
        if store is not None:
            command += ["--store", str(store)]
        return subprocess.run(
            command,
            env=clean_environment | dict(env or {}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    return run
