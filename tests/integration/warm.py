"""A process that has loaded torch and transformers and forks one pasctl for each request: a start takes milliseconds.

A fork is a process like any other: it has its own id, can be killed, and runs `pasctl.__main__.main`. What
depends on a cold start (import times, the hub's settings, which are read on import) is tested without this.

Requests and answers are JSON lines:

    {"start": [argument, ...], "env": {...}, "folder": path, "out": path, "err": path, "stdin": path}   ->   pid
    {"wait": pid, "seconds": s}   ->   exit code, minus the signal that killed it, or null when it still runs
"""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    """How a process ended and what it said, named as in subprocess; `returncode` is negative for a signal."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """stdout as one JSON document a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        """stdout as the one JSON document that it is."""
        (only,) = self.documents
        return only


class Process:
    """A pasctl that runs."""

    def __init__(self, warm: Warm, pid: int, out: Path, err: Path) -> None:
        self.pid = pid
        self._warm = warm
        self._out = out
        self._err = err

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = SECONDS) -> Done:
        code = self._warm.ask(wait=self.pid, seconds=seconds)
        if code is None:
            raise TimeoutError(f"process {self.pid} still runs after {seconds} s: {self.err}")
        return Done(code, self._out.read_text(), self.err)

    def wait_for(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"process {self.pid} has not come that far after {seconds} s: {self.err}")
            time.sleep(0.002)

    @property
    def out(self) -> str:
        """What it has written to stdout so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has written to stderr so far."""
        return self._err.read_text()


class Warm:
    """The forking process, from the side of the tests."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = dict(env)
        self._folder = folder
        self._count = 0
        command = [sys.executable, "-m", "tests.integration.warm"]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._env | {"HF_HUB_OFFLINE": "1"}
        )

    def ask(self, **request: Any) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError("the forking process has ended; its stderr says why")
        return json.loads(answer)

    def start(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: Path | str = os.devnull,
    ) -> Process:
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        for path in (out, err):
            path.touch()  # a test may look before the fork has come so far
        pid = self.ask(
            start=[str(each) for each in arguments],
            env=self._env | dict(env or {}),
            folder=str(folder or self._folder),
            out=str(out),
            err=str(err),
            stdin=str(stdin),
        )
        return Process(self, pid, out, err)

    def run(self, *arguments: object, **how: Any) -> Done:
        return self.start(*arguments, **how).wait()

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)


def preload() -> None:
    """Import whatever the command line and a stage import on their way."""
    import pasctl.directions.fit
    import pasctl.evaluation.metrics
    import pasctl.evaluation.rows
    import pasctl.evaluation.scoring
    import pasctl.models.load
    import pasctl.probes.fit
    import pasctl.stages.memory_ask
    import pasctl.stages.pipeline
    import pasctl.store.leases  # noqa: F401
    from pasctl.cli.app import app
    from tests.tiny import tiny_loaded

    tiny_loaded()
    # what the parser and the index import when they are first used
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        app(["store", "ls", "--store", folder], standalone_mode=False)


def serve() -> None:
    """Answer requests until stdin ends; returns in the forks only."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer: int | None = _wait(request["wait"], request["seconds"])
        else:
            answer = os.fork()
            if answer == 0:
                _become(request)
                return
        print(json.dumps(answer), flush=True)
    sys.exit()


def _wait(pid: int, seconds: float) -> int | None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _become(request: dict[str, Any]) -> None:
    """Make this fork look like a process that a shell has started."""
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for descriptor, path, flags in (
        (0, request["stdin"], os.O_RDONLY),
        (1, request["out"], writing),
        (2, request["err"], writing),
    ):
        os.dup2(os.open(path, flags, 0o600), descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["pasctl", *request["start"]]


def run_and_end() -> NoReturn:
    """Run the command line and end without tearing the interpreter down, which takes a second after a fork."""
    from pasctl.__main__ import main

    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    preload()
    gc.freeze()  # the forks' collector would copy every page
    serve()
    run_and_end()
