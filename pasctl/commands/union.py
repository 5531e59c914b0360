"""The options of several commands as one dataclass, each once: what `pasctl run` takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import field, fields
from typing import Any

from pasctl.declaration import Declaration
from pasctl.option import Option, parameters


def union(stages: Sequence[type[Declaration]], without: Sequence[str] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Fields for `dataclasses.make_dataclass`: the options of several commands, each once, and their groups.

    Args:
        stages: the commands, in whose order the options stand.
        without: options, or groups, that the union does not have.

    Raises:
        TypeError: two of the commands have an option of one name that means different things.
    """
    known: dict[str, Option] = {}
    grouped: set[str] = set()
    for stage in stages:
        whole = {each.name: each for each in fields(stage)}
        for parameter in parameters(stage):
            outer, said = parameter.place[0], parameter.option
            if outer in without or said.python_only:
                continue
            if len(parameter.place) > 1:
                if outer not in grouped:
                    grouped.add(outer)
                    yield outer, whole[outer].metadata["group"].kind, field(**_like(whole[outer]))
                continue
            name = said.pipeline or parameter.name
            if known.setdefault(name, said) is not said:
                raise TypeError(f"{stage.__name__} has another option {name!r} than the commands before it")
            if known[name] is said and name not in grouped:
                grouped.add(name)
                yield name, parameter.type, field(default=parameter.default, metadata={"option": said})


def split(whole: Declaration, stage: type[Declaration], **more: Any) -> Declaration:
    """One command's share of a union; `more` are options that the union does not have."""
    given = {each.name: getattr(whole, each.name) for each in fields(whole)}
    own = {
        each.name: given[name]
        for each in fields(stage)
        if (name := _pipeline_name(each)) in given and each.name not in more
    }
    return stage(**own, **more)


def _pipeline_name(each: dataclasses.Field[Any]) -> str:
    said: Option | None = each.metadata.get("option")
    return (said.pipeline if said else "") or each.name


def _like(each: dataclasses.Field[Any]) -> dict[str, Any]:
    return {"default_factory": each.default_factory, "metadata": each.metadata}
