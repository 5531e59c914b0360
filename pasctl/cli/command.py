"""Typer commands from declarations: options in panels, choices shown and completed, examples below."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pasctl.commands.running import RunOptions
from pasctl.declaration import Declaration, StageDeclaration
from pasctl.option import MISSING, Parameter, parameters

if TYPE_CHECKING:
    from pasctl.stages.run import Run

_ARGUMENT_PANEL, _OWN_PANEL, _RUN_PANEL = "Arguments", "Options", "Run"

Presenter = Callable[..., None]
"""Does a command and prints what comes of it: called with the declaration, the run, and whether to print JSON."""


class DeclaredCommand(TyperCommand):
    """A command whose help text has its options under headings, and examples below them.

    Attributes:
        panels: option -> its heading.
        examples: lines below the options.
        guarded: options that `pasctl.toml` may not set, or not to everything.
    """

    panels: dict[str, str]
    examples: tuple[str, ...]
    guarded: dict[str, Parameter]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, panel by panel."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (row := parameter.get_help_record(ctx)) is not None:
                rows.setdefault(self.panels.get(parameter.name or "", _RUN_PANEL), []).append(row)
        named = [name for name in rows if name not in (_ARGUMENT_PANEL, _OWN_PANEL, _RUN_PANEL)]
        for panel in filter(rows.__contains__, (_ARGUMENT_PANEL, _OWN_PANEL, *named, _RUN_PANEL)):
            with formatter.section(panel):
                formatter.write_dl(rows[panel])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, a line each."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"  {line}\n")


def build(declared: type[Declaration], present: str) -> tuple[type[TyperCommand], Callable[..., None]]:
    """The class and the function of a command, for `typer.Typer.command`.

    Args:
        declared: the command.
        present: "module:function" of its `Presenter`.
    """
    own = parameters(declared)
    running = tuple(each for each in parameters(RunOptions) if each.name in declared.takes)

    def command(**values: Any) -> None:
        from pasctl.cli.output import Terminal
        from pasctl.stages.run import Run

        if values.get("tp") and not _speaks():
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
        as_json = values.pop("json", False)
        of_run = {each.name: values.pop(each.name) for each in running if each.name in values}
        run = Run(**of_run, reporter=Terminal())
        given = {
            each.name: _python_value(each, values[each.name])
            for each in own
            if each.name in values and not (each.option.parse and values[each.name] is None)
        }
        options = declared.of(**given)
        module, _, function = present.partition(":")
        getattr(import_module(module), function)(options, run, json=as_json)

    arguments = [_argument(each) for each in (*own, *running) if not each.option.python_only]
    command.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in arguments}
    command.__doc__ = declared.__doc__
    shown = {each.name: _panel(each) for each in own} | {each.name: _RUN_PANEL for each in running}
    guarded = {each.name: each for each in (*own, *running) if each.option.from_file is not True}
    body = {"panels": shown, "examples": declared.examples, "guarded": guarded}
    return type(declared.__name__, (DeclaredCommand,), body), command


def _speaks() -> bool:
    """Whether this process prints: of those that torchrun has started to share a model, only the first does."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("PASCTL_DEBUG") == "1"


def present(options: StageDeclaration, run: Run, *, json: bool) -> None:
    """Run a stage and print its outcome: what most commands do."""
    from pasctl.cli.output import print_next, print_outcome
    from pasctl.stages.findings import next_command

    outcome = run.make(options)
    print_outcome(outcome, as_json=json)
    if outcome.artifact is not None and not json:
        print_next(next_command(options.then, outcome.artifact))


def _panel(parameter: Parameter) -> str:
    return parameter.option.panel or (_ARGUMENT_PANEL if parameter.option.argument else _OWN_PANEL)


def _argument(parameter: Parameter) -> inspect.Parameter:
    said, default = parameter.option, parameter.default
    words: dict[str, Any] = {"help": said.help, "metavar": said.metavar, "envvar": said.env}
    if said.minimum is not None:
        words["min"] = said.minimum
    kind: Any = str | None if said.parse else list[str] if parameter.repeats else parameter.type
    if said.parse and isinstance(default, tuple):
        default = ",".join(map(str, default)) or None
    elif default == ():
        default = []
    if said.required:
        default = MISSING
    if said.argument:
        about = typer.Argument(**words)
    else:
        about = typer.Option(*filter(None, (parameter.flag, said.short)), **words)
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is MISSING else default,
        annotation=Annotated[kind, about],
    )


def _python_value(parameter: Parameter, value: Any) -> Any:
    if parameter.option.parse and isinstance(value, str):
        return parameter.option.parse(value)
    return tuple(value) if isinstance(value, list) else value
