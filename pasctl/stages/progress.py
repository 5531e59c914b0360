"""How a stage tells what it is doing; the library is silent unless somebody listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a progress display on."""

    def __call__(self, steps: int, told: str = "") -> None:
        """By some steps, and show a few words on where things are."""


class Reporter(Protocol):
    """Receives a stage's words and counts."""

    def note(self, text: str) -> None:
        """Something the user should know: an input taken, a wait, a warning."""

    def progress(self, description: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Open a progress display of `total` units; the function it gives moves it on."""


class Silent:
    """A reporter that says nothing."""

    def note(self, text: str) -> None:
        """Drop the text."""

    @contextmanager
    def progress(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """Count nothing."""
        yield lambda steps, told="": None
