"""The `pasctl` application: its commands, its configuration, and how it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pasctl.cli import export
from pasctl.cli.command import build
from pasctl.cli.config import read_config
from pasctl.cli.failure import failures_told
from pasctl.commands import PANELS, declarations
from pasctl.declaration import Declaration, StageDeclaration
from pasctl.errors import InputError
from pasctl.version import __version__

# what typer raises for words that it does not understand, and for everything that it tells itself
_USAGE: Any = typer.BadParameter.__mro__[1]
_FAILURE: Any = typer.BadParameter.__mro__[2]


class Root(TyperGroup):
    """The top command: turns what a command raises into one line, a hint and an exit code."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands below the headings of `pasctl.commands.PANELS`."""
        panels = {each.command.partition(" ")[0]: each.panel for each in declarations()}
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        width = formatter.width - 6 - max(map(len, commands))
        for panel in (*PANELS, ""):
            rows = [
                (name, command.get_short_help_str(width))
                for name, command in commands.items()
                if command is not None and panels.get(name, "") == panel
            ]
            if rows:
                with formatter.section(panel or "Commands"):
                    formatter.write_dl(rows)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line; `--help` prints here."""
        with _ending():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _ending():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def _ending() -> Iterator[None]:
    with failures_told(typer.Exit, passing=(typer.Exit, typer.Abort, _FAILURE)):
        try:
            yield
        except _USAGE as error:
            if error.message.startswith("Usage:"):  # a command without arguments shows its help
                raise
            raise _refusal(error) from error


def _refusal(error: Any) -> InputError:
    """Words that the command line does not know, as every other refusal."""
    words = error.format_message().replace("Value error, ", "").rstrip(".")
    command = error.ctx.command_path if error.ctx is not None else "pasctl"
    return InputError(words[:1].lower() + words[1:], hint=f"`{command} --help` lists what there is")


app = typer.Typer(
    cls=Root,
    help="Steer a language model's personality, measure what changed, and give it a long memory.",
    no_args_is_help=True,
    rich_markup_mode=None,  # markup eats square brackets in help texts
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_GROUPS = {
    "export": export.app,
    "store": typer.Typer(
        help="The store: list, show, compare, trace, tag, check, remove, hand on.", no_args_is_help=True
    ),
    "data": typer.Typer(help="Check and fetch questionnaire data.", no_args_is_help=True),
}
"""Commands that are groups of commands: a declaration named "group name" becomes a command of one."""

for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)

_ON_REMOTES = ("push", "pull", "fetch", "remote-ls")
_PRESENTERS = {
    "bench-tasks": "pasctl.cli.bench_tasks:present",
    "eval": "pasctl.cli.evaluate:present",
    "memory-ask": "pasctl.cli.memory_ask:ask",
    "memory-eval": "pasctl.cli.memory_eval:present",
    "memory-run": "pasctl.cli.memory:present",
    "memory-show": "pasctl.cli.memory_show:present",
    "memory-forget": "pasctl.cli.memory_forget:present",
    "say": "pasctl.cli.say:present",
    **{f"store {name}": f"pasctl.cli.store_list:{name}" for name in ("ls", "diff")},
    **{f"store {name}": f"pasctl.cli.store_remove:{name}" for name in ("untag", "rm", "gc", "du")},
    "store export": "pasctl.cli.store_bundle:export",
    "store import": "pasctl.cli.store_bundle:import_",
    **{f"store {name}": f"pasctl.cli.store_remote:{name.replace('-', '_')}" for name in _ON_REMOTES},
}
"""Commands that print something else than a stage's outcome."""


def _presenter(declared: type[Declaration]) -> str:
    """What does a command and prints what comes of it, as "module:function"."""
    group, _, name = declared.command.rpartition(" ")
    if group and declared.command not in _PRESENTERS:
        return f"pasctl.cli.{group}:{name}"
    stage = issubclass(declared, StageDeclaration)
    return _PRESENTERS.get(declared.command, "pasctl.cli.command:present" if stage else f"pasctl.cli.{name}:present")


for _declared in declarations():
    _class, _function = build(_declared, _presenter(_declared))
    _in, _, _name = _declared.command.rpartition(" ")
    (_GROUPS[_in] if _in else app).command(_name, cls=_class)(_function)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pasctl {__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Steer a language model's personality, measure what changed, and give it a long memory.

    Settings come from flags, PASCTL_* variables, and pasctl.toml in the working folder, in this order.
    """
    context.default_map = read_config(context.command)
