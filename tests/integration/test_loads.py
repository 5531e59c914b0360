"""A command loads a model once, however many of its stages run it; and takes every option of how to load one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import pasctl.models.load
from pasctl.commands.running import RunOptions
from pasctl.models.options import ModelOptions
from pasctl.option import parameters

pytestmark = pytest.mark.integration

TWO = ("--alphas", "0,4", "--folds", "2")
FEW = ("--mode", "no-change,pas", "--neutral-text", "none", *TWO)
SIZES = ["--n-init", "8", "--n-local", "96", "--n-mem", "64", "--chunk", "32", "--min-block", "4", "--max-block", "32"]
STEERED = ("--directions", "latest", "--persona", "s01", "--alpha", "2")
TEXT = "Nobody knew who had hidden the letter. The life of the party had a vivid imagination. " * 12

# Run on a store with activations, probes and directions of the model; MODEL and the like are filled in.
COMMANDS: dict[str, tuple[str, ...]] = {
    "extract": ("extract", "--model", "MODEL", "--option-order", "forward"),
    "fit-directions": ("fit-directions", "--select", "steering", "--alphas", "4"),
    "choose-alpha": ("choose-alpha", *TWO),
    "eval at one alpha": ("eval", "--alpha", "4", "--mode", "no-change,pas", "--neutral-text", "none"),
    "eval with an audit": ("eval", "--alpha", "4", "--mode", "pas,few-shot", "--audit", "1", "--reading", "letters"),
    "eval auto": ("eval", "--alpha", "auto", *FEW),
    "eval oracle": ("eval", "--alpha", "oracle", *FEW),
    "say": ("say", "--model", "MODEL", "--persona", "E+", "--alpha", "auto", "--max-new-tokens", "2", "Who?"),
    "memory-run": ("memory-run", "TEXT", "--model", "MODEL", *SIZES, "--ask", "Who?", "--ask", "Where?"),
    "memory-run, steered": ("memory-run", "TEXT", "--model", "MODEL", *SIZES, *STEERED, "--ask", "Who?"),
    "memory-ask": ("memory-ask", "latest", "Who?", "Where?", "--max-new-tokens", "4"),
    "memory-eval": (
        *("memory-eval", "--model", "MODEL", "--tasks", "passkey", "--lengths", "640", "--trials", "1"),
        *("--compare", "window,full", "--max-new-tokens", "4", *SIZES),
    ),
    "chat": ("chat", "--model", "MODEL", "--max-new-tokens", "4", *STEERED),
    "chat, with a memory": ("chat", "--model", "MODEL", "--max-new-tokens", "4", "--memory", "talk", *SIZES),
    "serve": (
        "serve",
        "--model",
        "MODEL",
        "--directions",
        "latest",
        "--alpha",
        "2",
        "--memory",
        "latest",
        "--port",
        "0",
    ),
    "doctor": ("doctor", "--model", "MODEL"),
    "export": ("export", "latest", "--alpha", "2", "--persona", "s01", "-o", "OUT"),
    "export check": ("export", "check", "EXPORT"),
}
UNLOADED: dict[str, tuple[str, ...]] = {
    "train-probes": ("train-probes", "--personas", "builtin:0-2"),
    "fit-directions": ("fit-directions", "--top-k", "3"),
    "eval, planned": ("eval", "--alpha", "auto", *FEW, "--dry-run"),
    "extract, which the store has": ("extract", "--model", "MODEL", "--dtype", "float32"),
}

RUN_A_MODEL = {
    *("extract", "fit-directions", "choose-alpha", "eval", "say", "run", "memory-run", "memory-ask", "memory-eval"),
    "memory-forget",
    "import-vector",
    *("chat", "serve", "doctor", "export create", "export check"),
    "bench-tasks",  # tests/harness/test_bench_tasks.py counts its loads, where lm-eval is
}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the weights of each folder are read, the proof of an export apart."""
    counted: Counter[str] = Counter()
    read = pasctl.models.load.read_weights

    def reading(path: Path, **options: Any) -> Any:
        counted[str(path)] += 1
        return read(path, **options)

    monkeypatch.setattr("pasctl.models.load.read_weights", reading)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets=None: None)
    for name in ("PASCTL_MODEL", "PASCTL_STORE", "PASCTL_DTYPE"):
        monkeypatch.delenv(name, raising=False)
    return counted


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def pasctl_here(*words: object, store: Path) -> None:
    """Run a command in this process, where loads are counted."""
    from pasctl.cli.app import app

    done = CliRunner().invoke(app, [*map(str, words), "--store", str(store)], input="Hello\n/quit\n")
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loads_its_model_once(
    name: str, loads: Counter[str], fitted_store: Path, tiny_folder: Path, text: Path, tmp_path: Path
) -> None:
    words = COMMANDS[name]
    if name in ("memory-ask", "serve"):
        pasctl_here("memory-run", text, "--model", tiny_folder, *SIZES, store=fitted_store)
    if name == "export check":
        pasctl_here(*COMMANDS["export"][:-1], tmp_path / "export", store=fitted_store)
    loads.clear()
    places = {"MODEL": tiny_folder, "TEXT": text, "OUT": tmp_path / "out", "EXPORT": tmp_path / "export"}
    pasctl_here(*(places.get(word, word) for word in words), store=fitted_store)
    assert loads == {str(tiny_folder): 1}


@pytest.mark.parametrize("name", UNLOADED)
def test_a_command_that_runs_no_model_loads_none(
    name: str, loads: Counter[str], fitted_store: Path, tiny_folder: Path
) -> None:
    pasctl_here(*(tiny_folder if word == "MODEL" else word for word in UNLOADED[name]), store=fitted_store)
    assert loads == {}


@pytest.mark.parametrize("alpha", ["4", "auto", "oracle"])
@pytest.mark.parametrize("select", ["probe", "steering"])
def test_a_pipeline_loads_each_model_once(
    select: str, alpha: str, loads: Counter[str], tiny_folder: Path, other_tiny_folder: Path, tmp_path: Path
) -> None:
    folders = (tiny_folder, other_tiny_folder) if (select, alpha) == ("steering", "auto") else (tiny_folder,)
    models = [word for folder in folders for word in ("--model", folder)]
    how = ("--personas", "builtin:0-2", "--recipe", "paper", "--select", select, "--alpha", alpha, *FEW)
    pasctl_here("run", *models, *how, store=tmp_path / "store")
    assert loads == {str(folder): 1 for folder in folders}


def test_a_command_that_runs_a_model_takes_every_option_of_how() -> None:
    wanted = {each.flag for each in parameters(ModelOptions)}
    wanted |= {each.flag for each in parameters(RunOptions) if each.name == "max_memory"}
    options = {name: flags for name, flags in flags_of_commands() if "--device" in flags}
    assert set(options) == RUN_A_MODEL
    assert {name: lacking for name, flags in options.items() if (lacking := wanted - flags)} == {}


def flags_of_commands() -> Iterator[tuple[str, set[str]]]:
    """("export check", its options), for every command."""
    from pasctl.cli.app import app

    def walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
        for word, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{name} {word}".strip())
        if not hasattr(command, "commands"):
            yield name, {flag for each in command.params for flag in each.opts}

    return walk(typer.main.get_command(app), "")
