"""`python -m pasctl.cli.reference`: the reference page of the docs, written from the declarations."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent

from pasctl.commands import PANELS, declarations
from pasctl.commands.running import RunOptions
from pasctl.declaration import Declaration, StageDeclaration
from pasctl.option import MISSING, Parameter, parameters

_HEAD = """# Reference

Every command, as it is declared in `pasctl/commands`. `python -m pasctl.cli.reference` writes this page.

An option can also stand in `pasctl.toml`, at the top for all commands or in a table such as `[eval]` for one, and some
can be set by a variable. A flag wins over a variable, a variable over the file. What runs code, opens a port or sends
something away cannot stand in the file, and paths that are written to must stay in its folder, unless `PASCTL_CONFIG`
names it. From Python, an option is a parameter of the function named, with underscores: `--batch-tokens` is
`batch_tokens`.
"""


def reference() -> str:
    """The page in Markdown."""
    parts = [_HEAD]
    for panel in PANELS:
        commands = [each for each in declarations() if each.panel == panel]
        if commands:
            parts += [f"## {panel}\n", *(_command(each) for each in commands)]
    return "\n".join(parts)


def _command(declared: type[Declaration]) -> str:
    lines = [f"### pasctl {declared.command}\n", dedent("    " + (declared.__doc__ or "")).strip(), ""]
    if facts := list(_facts(declared)):
        lines += [f"{' '.join(facts)}", ""]
    running = tuple(each for each in parameters(RunOptions) if each.name in declared.takes)
    options = [each for each in (*parameters(declared), *running) if not each.option.python_only]
    lines += ["| option | default | what it does |", "|---|---|---|", *(_row(each) for each in options), ""]
    lines += ["```text", *declared.examples, "```", ""] if declared.examples else []
    return "\n".join(lines)


def _facts(declared: type[Declaration]) -> Iterator[str]:
    if issubclass(declared, StageDeclaration):
        yield f"Makes an artifact of the kind `{declared.makes}`."
    if declared.function:
        yield f"In Python: `pasctl.{declared.function}`."


def _row(option: Parameter) -> str:
    said = option.option
    values = "|".join(map(str, option.choices)) or said.metavar or ""
    spelt = values if said.argument else " ".join(filter(None, (option.flag, values)))
    if said.short:
        spelt = f"{said.short}, {spelt}"
    words = f"{said.help} On the command line only." if said.cli_only else said.help
    words += "" if said.from_file else " Never from `pasctl.toml`."
    return f"| `{_cell(spelt)}` | {_default(option)} | {_cell(words)}{f' (`{said.env}`)' if said.env else ''} |"


def _default(option: Parameter) -> str:
    if option.default is MISSING or option.option.required:
        return "required"
    unset = option.default is None or option.default is False or option.default == ()
    words = ",".join(map(str, option.default)) if isinstance(option.default, tuple) else option.default
    return "" if unset else f"`{words}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
