"""The options that an artifact was made with, read from what its key and its manifest say, by the stage's declaration.

Two artifacts whose options are alike differ in their inputs alone, and are versions of one name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pasctl.commands import declarations
from pasctl.declaration import StageDeclaration
from pasctl.option import MISSING, Parameter, parameters

_INPUTS = frozenset(("texts", "glob"))
"""Options that name what is read, and not how: a memory is extended with other texts, and keeps its name."""


_ABSENT = object()


def made_options(stage: str, document: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value, as JSON has it.

    An input that a user names, such as `personas`, has two sides, how it was written and what it held:
    {"given": "builtin:0-5", "digest": [...]}.

    Args:
        stage: the command that made it, or makes it.
        document: its key document.
        provenance: the facts beside the key.
    """
    declared = _declared(stage)
    if not declared:
        options = {name: value for name, value in (document.get("params") or {}).items() if _is_plain(value)}
    else:
        options = {each.name: _value(each, document, provenance) for each in declared}
        options = {name: value for name, value in options.items() if value is not _ABSENT}
    normalised: dict[str, Any] = json.loads(json.dumps(options))
    return normalised


def option_defaults(stage: str) -> dict[str, Any]:
    """Option -> what it is in artifacts from before it existed."""
    return {each.name: _plain_default(each) for each in _declared(stage) if each.option.when_set}


@cache
def _declared(stage: str) -> tuple[Parameter, ...]:
    """The options of a stage; none of one that no command makes by itself."""
    found = next((each for each in declarations() if each.command == stage), None)
    if found is None or not issubclass(found, StageDeclaration):
        return ()
    return tuple(
        each
        for each in parameters(found)
        if not each.option.cli_only and each.name not in found.implied | found.unrecorded | _INPUTS
    )


def _value(each: Parameter, document: Mapping[str, Any], provenance: Mapping[str, Any]) -> Any:
    """What one option is; _ABSENT where it decides nothing beside what others are."""
    params = document.get("params") or {}
    if each.option.record == "provenance":
        known = [params[name] for name in each.option.digest if name in params]
        digest = [value for value in known if value is not None]
        if digest:
            return {"given": provenance.get(each.recorded), "digest": digest}
        return None if known else _ABSENT
    if each.option.record == "numerics":
        return _at(document.get("numerics") or {}, each.recorded)
    if each.option.record != "params":
        return _ABSENT
    value = _at(params, each.recorded)
    return _plain_default(each) if value is _ABSENT and each.option.when_set else value


def _at(values: Mapping[str, Any], place: str) -> Any:
    """The value at a place such as `choice.scope`: None where a part of it was not asked for, _ABSENT without one."""
    inner: Any = values
    for name in place.split("."):
        if inner is None:
            return None
        if not isinstance(inner, Mapping) or name not in inner:
            return _ABSENT
        inner = inner[name]
    return inner


def _plain_default(each: Parameter) -> Any:
    return None if each.usual is MISSING else json.loads(json.dumps(each.usual))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
