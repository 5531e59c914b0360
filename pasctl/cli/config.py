"""`pasctl.toml`: defaults for options, for all commands or for one.

The file lies in the folder that pasctl is run in, which others may have made. So an option's declaration says whether
the file may set it (`from_file` of `pasctl.option.Option`).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.option import Parameter

CONFIG_NAME = "pasctl.toml"
_REMOTES = "remotes"


def read_config(command: Any) -> dict[str, Any]:
    """Defaults by command, from `pasctl.toml` or the file that PASCTL_CONFIG names.

    Keys at the top hold for every command that has the option; a table `[extract]`, or `[store.ls]`, for that command.
    The table `[remotes]` is left to `read_remotes`.

    Args:
        command: the top command, whose sub-commands and options are the names allowed.

    Raises:
        InputError: the file is no TOML, names a command or an option that does not exist, or sets what it may not.
        MissingError: PASCTL_CONFIG names no file.
    """
    path, settings = _settings()
    _remotes(path, settings)
    settings.pop(_REMOTES, None)
    known = _option_names(command)
    for name, value in settings.items():
        if not isinstance(value, dict) and name.replace("-", "_") not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise InputError(
                f"{path} sets {name!r}, which no command has as an option",
                hint=f"did you mean {near[0]}?" if near else None,
            )
    return _defaults(command, settings, {}, path)


def read_remotes() -> dict[str, str]:
    """The remotes that the table `[remotes]` of the same file names: URL, or path of a folder, by name.

    Raises:
        InputError: the file is no TOML, or the table is not one of names and texts.
        MissingError: PASCTL_CONFIG names no file.
    """
    return _remotes(*_settings())


def _remotes(path: Path, settings: dict[str, Any]) -> dict[str, str]:
    table = settings.get(_REMOTES, {})
    if not isinstance(table, dict) or not all(isinstance(url, str) and url for url in table.values()):
        raise InputError(f'{path}: expected lines such as lab = "s3://bucket/folder" below [{_REMOTES}]')
    return table


def _settings() -> tuple[Path, dict[str, Any]]:
    """The file and what it says; nothing where there is none."""
    named = os.environ.get("PASCTL_CONFIG")
    path = Path(named or CONFIG_NAME)
    if not path.is_file():
        if named:
            raise MissingError(f"PASCTL_CONFIG names {path}, which is no file")
        return path, {}
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise InputError(f"{path} is no valid TOML: {error}") from error


def _defaults(command: Any, settings: dict[str, Any], inherited: dict[str, Any], path: Path) -> dict[str, Any]:
    """Defaults of a command, or of each sub-command of a group; `store = ...` is an option, `[store]` a group."""
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    own = {name.replace("-", "_"): _flat(value) for name, value in settings.items() if name not in tables}
    unknown = sorted(set(tables) - set(subcommands))
    if unknown:
        raise InputError(
            f"{path} has a table [{unknown[0]}], expected one of {', '.join(sorted(subcommands)) or 'none'}"
        )
    if subcommands:
        return {
            name: _defaults(each, tables.get(name, {}), inherited | own, path) for name, each in subcommands.items()
        }
    options = _spellings(command)
    stray = sorted(set(own) - set(options))
    if stray:
        raise InputError(f"{path} sets {stray[0]!r} for {command.name}, which has no such option")
    defaults = {options[name]: value for name, value in (inherited | own).items() if name in options}
    _check_allowed(command, defaults, path)
    return defaults


def _check_allowed(command: Any, defaults: dict[str, Any], path: Path) -> None:
    """Refuse what only its user may say; paths in a file that PASCTL_CONFIG names are its user's own words."""
    guarded: dict[str, Parameter] = getattr(command, "guarded", {})
    for name in sorted(defaults.keys() & guarded.keys()):
        parameter = guarded[name]
        by_hand = " or ".join(filter(None, (parameter.flag, parameter.option.env)))
        if parameter.option.from_file is False:
            raise InputError(
                f"{path} sets {_spelt(name)!r}, which a file may not set",
                hint=f"take it out of the file; say it yourself by {by_hand} if you mean it",
            )
        if not os.environ.get("PASCTL_CONFIG") and not _is_inside(defaults[name], path.parent):
            raise InputError(
                f"{path} sets {_spelt(name)!r} to {str(defaults[name])!r}, expected a path inside the file's folder",
                hint=f"say it yourself by {by_hand}, or name a file of your own by PASCTL_CONFIG",
            )


def _spelt(name: str) -> str:
    return name.replace("_", "-")


def _is_inside(value: Any, folder: Path) -> bool:
    if not isinstance(value, str):
        return True  # no path: refused with its type
    try:
        return (folder / value).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return False


def _flat(value: Any) -> Any:
    """`alpha = [0, 1, 2]` means what `--alpha 0,1,2` does, except for options that repeat."""
    return (
        ",".join(map(str, value))
        if isinstance(value, list) and all(isinstance(v, int | float) for v in value)
        else value
    )


def _spellings(command: Any) -> dict[str, str]:
    """Names that a file may have for a command's options: as in Python, or as the flag is spelt."""
    flags = {
        flag.lstrip("-").replace("-", "_"): parameter.name
        for parameter in command.params
        for flag in parameter.opts
        if flag.startswith("--")
    }
    return flags | {parameter.name: parameter.name for parameter in command.params}


def _option_names(command: Any) -> set[str]:
    names = set(_spellings(command))
    for subcommand in getattr(command, "commands", {}).values():
        names |= _option_names(subcommand)
    return names
