"""Lines that the user should know and that stop nothing: a function receives them."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Receives a line."""


def silent(text: str) -> None:
    """A `Note` that drops the text."""
