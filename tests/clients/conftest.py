"""A server in the environment that has pasctl, for clients in this one (`PASCTL_PYTHON` names its interpreter)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BASE = "add"
PERSONA = "add+s01"
QUESTION = "2 and 3?"
ANSWER = "It is 5."


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the model of `serve.py`."""
    python = os.environ.get("PASCTL_PYTHON", sys.executable)
    command = [python, "-m", "tests.clients.serve", str(tmp_path_factory.mktemp("serve"))]
    root = Path(__file__).parents[2]
    search = os.pathsep.join([str(root), str(root / "build" / "structured")])
    environment = os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            yield address
        finally:
            server.stdin.close()
            server.wait(timeout=60)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients talk to 127.0.0.1 alone, and look nothing up."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
