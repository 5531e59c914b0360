"""`pasctl.toml`: defaults for options, for all commands or for one."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pasctl.errors import InputError

CONFIG_NAME = "pasctl.toml"


def read_config(command: Any) -> dict[str, Any]:
    """Defaults by command, from `pasctl.toml` or the file that PASCTL_CONFIG names.

    Keys at the top hold for every command that has the option; a table `[extract]`, or `[store.ls]`, for that command.

    Args:
        command: the top command, whose sub-commands and options are the names allowed.

    Raises:
        InputError: the file is no TOML, or names a command or an option that does not exist.
    """
    path = Path(os.environ.get("PASCTL_CONFIG", CONFIG_NAME))
    if not path.is_file():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid TOML: {error}") from error
    known = _option_names(command)
    for name, value in settings.items():
        if not isinstance(value, dict) and name.replace("-", "_") not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise InputError(
                f"{path} sets {name!r}, which no command has", hint=f"did you mean {near[0]}?" if near else None
            )
    return _defaults(command, settings, {}, path)


def _defaults(command: Any, settings: dict[str, Any], inherited: dict[str, Any], path: Path) -> dict[str, Any]:
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    own = {name.replace("-", "_"): _flat(value) for name, value in settings.items() if name not in subcommands}
    if not subcommands:
        options = {parameter.name for parameter in command.params}
        unknown = sorted(set(own) - options)
        if unknown:
            raise InputError(f"{path} sets {unknown[0]!r} for {command.name}, which has no such option")
        return {name: value for name, value in (inherited | own).items() if name in options}
    shared = inherited | {name: value for name, value in own.items() if not isinstance(value, dict)}
    unknown = sorted(name for name, value in own.items() if isinstance(value, dict))
    if unknown:
        raise InputError(f"{path} has a table [{unknown[0]}], expected one of {', '.join(sorted(subcommands))}")
    return {
        name: _defaults(subcommand, settings.get(name, {}), shared, path) for name, subcommand in subcommands.items()
    }


def _flat(value: Any) -> Any:
    """`alpha = [0, 1, 2]` means what `--alpha 0,1,2` does, except for options that repeat."""
    return (
        ",".join(map(str, value))
        if isinstance(value, list) and all(isinstance(v, int | float) for v in value)
        else value
    )


def _option_names(command: Any) -> set[str]:
    names = {parameter.name for parameter in command.params}
    for subcommand in getattr(command, "commands", {}).values():
        names |= _option_names(subcommand)
    return names
