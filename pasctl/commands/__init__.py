"""One file a command: its declaration. What it does is in `pasctl.stages` and in the front ends.

A file that is put here is found: nothing lists the commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from pasctl.declaration import Declaration

PANELS = ("Steering", "Memory", "Using a model", "Results", "Data and store")
"""Headings in the list of commands, in their order."""


def declarations() -> list[type[Declaration]]:
    """All commands, by panel and, within one, in the order of their `place`."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return sorted(_commands(Declaration), key=lambda each: (PANELS.index(each.panel), each.place, each.command))


def declaration(command: str) -> type[Declaration]:
    """The declaration of a command."""
    return next(each for each in declarations() if each.command == command)


def _commands(base: type[Declaration]) -> Iterator[type[Declaration]]:
    for each in base.__subclasses__():
        if each.command and each.__module__.startswith(f"{__name__}."):
            yield each
        yield from _commands(each)
