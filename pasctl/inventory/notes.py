"""Lines that the user should know and that stop nothing: a function receives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike

Note = Callable[[str], None]
"""Receives a line."""


def silent(text: str) -> None:
    """A `Note` that drops the text."""


@dataclass(frozen=True)
class Noted:
    """A `Note` that passes lines on and keeps them, for the manifest of what is made of the personas.

    Attributes:
        note: Receives each line.
        lines: All of them so far.
    """

    note: Note
    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        """Receive a line."""
        self.lines.append(text)
        self.note(text)

    def provenance(self, map_file: object) -> dict[str, object]:
        """What a manifest says of how personas were read; nothing where there is nothing to say."""
        named = {"map_file": str(map_file)} if isinstance(map_file, str | PathLike) else {}
        return named | ({"personas_read": list(self.lines)} if self.lines else {})
