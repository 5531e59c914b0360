"""What is answered without work is quick and loads nothing heavy."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

HEAVY = ("torch", "transformers", "pandas", "sklearn", "sqlalchemy")
SECOND_RUN_SECONDS = 3.0
HELP_SECONDS = 0.3
HELP_TRIES = 5
HELP_FACTOR = 4.0  # on a slow or busy machine: at most so many times the time of a bare Typer program; torch takes 20

# pasctl as `python -m pasctl` runs it, which leaves the names of all loaded modules in a file
_LISTING = (
    "import atexit, sys, pathlib\n"
    "place = pathlib.Path(sys.argv.pop(1))\n"
    "atexit.register(lambda: place.write_text('\\n'.join(sys.modules)))\n"
    "from pasctl.__main__ import main\n"
    "main()\n"
)


_BARE = (
    "import typer\n"
    "app = typer.Typer()\n"
    "@app.command()\n"
    "def main(number: int = typer.Option(1, help='A number.')): 'Say something.'\n"
    "app()\n"
)


@dataclass(frozen=True)
class Run:
    """One cold run of the command line: seconds on the clock and of processor time, stdout, packages loaded."""

    seconds: float
    busy: float
    stdout: str
    packages: set[str]


def _run(arguments: list[str], env: dict[str, str], folder: Path) -> Run:
    modules = folder / "modules"
    began, used = time.monotonic(), _children_seconds()
    done = subprocess.run(
        [sys.executable, "-c", _LISTING, str(modules), *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    busy = _children_seconds() - used
    return Run(seconds, busy, done.stdout, {name.partition(".")[0] for name in modules.read_text().splitlines()})


def _children_seconds() -> float:
    """Processor time of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _bare_help_seconds(env: dict[str, str], folder: Path) -> float:
    """Processor time of `--help` of a Typer program with one option."""
    used = _children_seconds()
    subprocess.run([sys.executable, "-c", _BARE, "--help"], env=env, cwd=folder, capture_output=True, check=True)
    return _children_seconds() - used


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command and group."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


def _all_commands() -> list[tuple[str, ...]]:
    from pasctl.cli.app import app

    return list(_commands(typer.main.get_command(app)))


def test_the_commands_of_the_issue_are_there() -> None:
    """Guards the next test against finding nothing to look at."""
    stages = {("extract",), ("train-probes",), ("fit-directions",), ("eval",), ("run",), ("doctor",)}
    store = {("store", name) for name in ("ls", "show", "explain", "lineage", "tag", "verify", "reindex", "path")}
    assert stages | store | {("data", "check"), ("data", "pull")} <= set(_all_commands())


@pytest.mark.parametrize("command", _all_commands(), ids=lambda path: " ".join(("pasctl", *path)))
def test_help_is_quick_and_loads_nothing_heavy(
    command: tuple[str, ...], clean_environment: dict[str, str], tmp_path: Path
) -> None:
    runs = []
    for _ in range(HELP_TRIES):
        runs.append(run := _run([*command, "--help"], clean_environment, tmp_path))
        assert "Usage: pasctl" in run.stdout
        assert run.packages.isdisjoint(HEAVY)
        if run.busy < HELP_SECONDS:
            return  # on a busy machine too, where the clock says more
    # a slow machine: against the least program that Typer can print the help of
    bare = min(_bare_help_seconds(clean_environment, tmp_path) for _ in range(HELP_TRIES))
    assert min(run.busy for run in runs) < max(HELP_SECONDS, HELP_FACTOR * bare), (bare, runs)


@pytest.fixture
def stage_commands(tiny_folder: Path) -> dict[str, list[str]]:
    """The commands that `finished_master` was made with."""
    return {
        "extract": ["extract", "--model", str(tiny_folder), "--dtype", "float32"],
        "train-probes": ["train-probes", "--personas", "builtin:0-4"],
        "fit-directions": ["fit-directions"],
        "eval": ["eval", "--alpha", "4", "--mode", "no-change,pas", "--reading", "letters"],
    }


@pytest.mark.parametrize("stage", ["extract", "train-probes", "fit-directions", "eval"])
def test_second_identical_call_is_answered_from_the_store(
    stage: str,
    stage_commands: dict[str, list[str]],
    clean_environment: dict[str, str],
    finished_store: Path,
    tmp_path: Path,
) -> None:
    before = sorted(finished_store.glob("objects/*/*/*"))
    run = _run([*stage_commands[stage], "--json", "--store", str(finished_store)], clean_environment, tmp_path)
    document = json.loads(run.stdout)
    assert document["reused"] is True
    assert Path(document["path"]) in before
    assert run.seconds < SECOND_RUN_SECONDS
    assert run.packages.isdisjoint({"torch", "transformers", "sklearn", "pandas"})
    assert sorted(finished_store.glob("objects/*/*/*")) == before


def test_second_call_says_that_it_loaded_nothing(
    stage_commands: dict[str, list[str]], clean_environment: dict[str, str], finished_store: Path, tmp_path: Path
) -> None:
    run = _run([*stage_commands["extract"], "--store", str(finished_store)], clean_environment, tmp_path)
    assert run.stdout.startswith("activations/tiny-a/builtin@v1  already in the store")


def test_run_of_all_stages_is_answered_from_the_store(
    clean_environment: dict[str, str], tiny_folder: Path, finished_store: Path, tmp_path: Path
) -> None:
    """`run` makes the same keys as the four stages one by one."""
    command = ["run", "--model", str(tiny_folder), "--dtype", "float32", "--personas", "builtin:0-4"]
    command += ["--recipe", "paper", "--option-order", "both", "--center", "letters"]
    command += [
        "--alpha",
        "4",
        "--mode",
        "no-change,pas",
        "--reading",
        "letters",
        "--json",
        "--store",
        str(finished_store),
    ]
    run = _run(command, clean_environment, tmp_path)
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    assert [each["stage"] for each in outcomes] == ["extract", "train-probes", "fit-directions", "eval"]
    assert all(each["reused"] for each in outcomes)
    assert run.seconds < SECOND_RUN_SECONDS
    assert run.packages.isdisjoint({"torch", "transformers", "sklearn", "pandas"})


def test_dry_run_of_something_new_says_what_it_would_do_and_does_nothing(
    clean_environment: dict[str, str], finished_store: Path, tmp_path: Path
) -> None:
    before = sorted(finished_store.rglob("*"))
    command = ["train-probes", "--personas", "builtin:0-9", "--dry-run", "--json", "--store", str(finished_store)]
    run = _run(command, clean_environment, tmp_path)
    document = json.loads(run.stdout)
    assert (document["reused"], document["name"]) == (False, None)
    assert document["plan"]["personas"] == 9
    assert "torch" not in run.packages
    after = [path for path in sorted(finished_store.rglob("*")) if not path.name.startswith("index.sqlite-")]
    assert after == [path for path in before if not path.name.startswith("index.sqlite-")]
