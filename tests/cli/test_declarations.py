"""Every option is declared once, every example can be typed, and completion offers the choices."""

from __future__ import annotations

import ast
import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import pasctl
from pasctl.cli.app import app
from pasctl.commands import declarations
from pasctl.commands.running import RunOptions
from pasctl.declaration import Declaration
from pasctl.models.options import ModelOptions
from pasctl.option import Option, parameters

COMMANDS = {each.command: each for each in declarations()}
SEVERAL_MEANINGS = {
    "--model": "must be named, may be named where an artifact names it, selects inputs, may repeat in run",
    "--directions": "one artifact, or several that personas are found in",
    "--memory": "a name of a conversation, or memories to open",
    "--engine": "what a checkpoint is written for, and who answers an evaluation",
    "--force": "replaces an export, or moves a tag",
    "--seed": "of a stage's numerics, of answers, and of the order of a survey's items",
    "--activations": "of a model, and of probes",
    "--method": "of probes, and of directions",
    "--positions": "where the model is steered, and where a memory puts retrieved keys",
    "--alpha": "several strengths to evaluate or to say with, or the one to steer with",
    "--tasks": "of a memory, or lm-eval's, which may be files that run code",
    "--limit": "items per task of files, documents per task of lm-eval's, or rows of a list",
    "--format": "of files with tasks, or of a table that is printed",
    "--mode": "conditions of an evaluation, or of a benchmark",
    "--contrast": "what is read, or what texts are steered along",
    "--persona": "the one to steer to, or several whose texts are written",
    "--inventory": "must be one, or is what a file of answers is about",
    "--output": "a page that must be written or may be, and a survey's file of answers",
    "--revision": "of a model, and of a dataset",
}
"""Flags whose meaning depends on the command, so that each meaning is an option of its own."""
WITHOUT_MODEL = {"train-probes", "memory-show", "report", "compare", "inspect", "demo", "survey"}
"""Commands, beside those of the groups store and data, that run no model that a user chooses."""


def said(declared: type) -> Iterator[tuple[str, Option]]:
    """Flag and option, as the option's dataclass has it, of all that can be typed with two dashes."""
    homes = {each.name: each.metadata["group"].kind for each in fields(declared) if "group" in each.metadata}
    for each in parameters(declared):
        if not (each.option.argument or each.option.python_only):
            home = homes[each.place[0]] if len(each.place) > 1 else declared
            [option] = [field.metadata["option"] for field in fields(home) if field.name == each.place[-1]]
            yield each.flag, option


def click_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the words after its name."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        words = words if words[0] in command.commands else ["create", *words]  # what export does by default
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_each_option_is_declared_once() -> None:
    options: dict[str, dict[int, Option]] = defaultdict(dict)
    for declared in (*COMMANDS.values(), RunOptions):
        for flag, option in said(declared):
            options[flag][id(option)] = option
    assert {flag for flag, known in options.items() if len(known) > 1} == set(SEVERAL_MEANINGS)


def test_no_option_is_declared_by_hand() -> None:
    folder = Path(pasctl.__file__).parent / "cli"
    by_hand = [
        f"{file.name}:{node.lineno}"
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if file.name != "command.py"
        and isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("typer.Option", "typer.Argument")
    ]
    assert [each.partition(":")[0] for each in by_hand] == ["app.py"], by_hand  # --version


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_it_does_and_its_examples_can_be_typed(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PASCTL_MODEL", "PASCTL_ATTN", "PASCTL_SEED"):
        monkeypatch.delenv(variable, raising=False)
    declared = COMMANDS[command]
    assert declared.__doc__
    assert "(" not in declared.__doc__.splitlines()[0]
    assert declared.examples
    for example in declared.examples:
        program, *words = shlex.split(example)
        known, rest = click_command(words)
        assert program == "pasctl"
        assert known.name == command.split()[-1]
        known.make_context(command, rest)


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if not each.startswith(("store ", "data ")) and each not in WITHOUT_MODEL]
)
def test_what_runs_a_model_takes_every_option_of_a_model(command: str) -> None:
    declared = COMMANDS[command]
    known = {each.flag for each in parameters(declared)}
    assert {each.flag for each in parameters(ModelOptions)} | {"--model"} <= known
    assert "max_memory" in declared.takes


def test_completion_offers_the_choices_of_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    for command, declared in COMMANDS.items():
        known = {each.name: each for each in click_command(command.split())[0].params}
        for option in parameters(declared):
            if option.choices and not option.option.python_only:
                offered = known[option.name].shell_complete(typer.Context(click_command(command.split())[0]), "")
                assert tuple(each.value for each in offered) == option.choices, f"{command} {option.flag}"
    monkeypatch.setenv("_PASCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "pasctl memory-run --segmenter s")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert CliRunner().invoke(app, [], prog_name="pasctl").stdout.split() == ["surprise", "sentence"]


def test_python_functions_have_the_names_that_declarations_give_them() -> None:
    functions = {each.function: each for each in COMMANDS.values() if each.function}
    assert {"memory_run", "memory_ask", "memory_eval", "memory_show"} <= set(functions)
    for name, declared in functions.items():
        function = getattr(pasctl, name)
        assert function.__name__ == name
        assert issubclass(declared, Declaration)
        assert declared.__doc__ is not None
        assert function.__doc__.startswith(declared.__doc__.splitlines()[0])
