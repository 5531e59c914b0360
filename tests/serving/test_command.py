"""`pasctl serve` as a process: how it starts, and how signals stop it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from pasctl.commands.serve import Serve
from pasctl.serving.server import serve
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.conftest import PasctlRun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_how_a_server_ends(handle: ModelHandle, served_store: Path, number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    told: list[dict[str, Any]] = []

    def ready(what: dict[str, Any]) -> None:
        told.append(what)
        signal.raise_signal(number)

    served = Serve(model=handle, settings=Settings(port=0), memory=["memory/tiny-a/text-1"])
    serve(served, Run(served_store), ready=ready)
    assert told[0]["memories"] == ["memory/tiny-a/text-1@v1"]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.integration
def test_a_server_answers_until_it_is_told_to_stop(
    clean_environment: dict[str, str], tiny_folder: Path, served_store: Path, tmp_path: Path
) -> None:
    options = ["--dtype", "float32", "--directions", "latest", "--memory", "memory/tiny-a/text-0", "--port", "0"]
    options += ["--alpha", "1"]
    ends = ["--grace", "0.5", "--max-new-tokens", "8000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pasctl", "serve", "--model", str(tiny_folder), *options, *ends, "--json"],
        env=clean_environment | {"PASCTL_STORE": str(served_store), "PASCTL_API_KEY": "secret"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert (told["model"], told["personas"], told["memories"]) == ("tiny-a", 4, ["memory/tiny-a/text-0@v1"])
        client = openai.OpenAI(base_url=told["url"], api_key="secret", max_retries=0, timeout=30)
        request = {"model": "tiny-a+s01", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
        assert client.chat.completions.create(**request, max_tokens=3).choices[0].message.content
        endless = client.chat.completions.create(**request | {"model": "tiny-a"}, max_tokens=8000, stream=True)
        next(iter(endless))
        process.terminate()
        # what runs may go on for half a second, and is told that the server stops
        with pytest.raises(openai.APIError, match="the server is stopping"):
            list(endless)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "")
    lines = err.splitlines()
    assert lines[-1] == "stopped"
    assert sum(" POST /v1/chat/completions 200 " in line for line in lines) == 2
    assert "Traceback" not in err
    assert "secret" not in err


def test_an_open_door_is_refused(run_pasctl: PasctlRun) -> None:
    done = run_pasctl("serve", "--model", "demo", "--host", "0.0.0.0")  # noqa: S104 - refused
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: host 0.0.0.0 can be reached by others, so requests must bring an API key",
        "hint: set PASCTL_API_KEY or --api-key-file, or listen on 127.0.0.1",
    ]


def test_without_a_strength_the_command_that_chooses_one_is_named(
    run_pasctl: PasctlRun, tiny_folder: Path, served_store: Path
) -> None:
    served = ("--model", str(tiny_folder), "--dtype", "float32", "--store", str(served_store))
    done = run_pasctl("serve", *served, "--directions", "latest", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: no alpha was chosen for directions/tiny-a/builtin@v1")
    assert "pasctl choose-alpha --directions directions/tiny-a/builtin@v1" in hint
