"""Names of methods, each with the place its class is defined at, imported on first use."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from pasctl.errors import InputError, PasctlError


class Registry:
    """A table from a method's name to `"module:attribute"`.

    Listing and checking names imports nothing, so that the command line can do both without torch.
    """

    def __init__(self, noun: str, entries: Mapping[str, str] | None = None) -> None:
        """`noun` is what one entry is called in an error message, e.g. "direction method"."""
        self.noun = noun
        self._targets: dict[str, str] = {}
        for name, target in (entries or {}).items():
            self.register(name, target)

    def register(self, name: str, target: str) -> None:
        """Add a method; a name can be given away once only."""
        module, colon, attribute = target.partition(":")
        if not (module and colon and attribute):
            raise PasctlError(f"{self.noun} '{name}': expected 'module:attribute', found '{target}'")
        if name in self._targets:
            raise PasctlError(
                f"{self.noun} '{name}' is already registered as {self._targets[name]}, cannot be {target} too",
                hint="choose another name",
            )
        self._targets[name] = target

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._targets)

    def check(self, name: str) -> None:
        """Raise InputError, with the nearest names, if `name` is not registered."""
        if name in self._targets:
            return
        near = get_close_matches(name, self._targets, n=3)
        known = ", ".join(self._targets) or "none"
        hint = f"did you mean {' or '.join(near)}? known: {known}" if near else f"known: {known}"
        raise InputError(f"unknown {self.noun} '{name}'", hint=hint)

    def get(self, name: str) -> Any:
        """The class or function behind `name`, imported now."""
        self.check(name)
        module, _, attribute = self._targets[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except AttributeError as error:
            raise PasctlError(f"{self.noun} '{name}': {module} has no attribute '{attribute}'") from error
