"""Every expected failure of pasctl: one line for the user, one hint, one exit code."""

from __future__ import annotations

from pasctl.printable import clean

MOST_CHARACTERS = 1000
"""Of a message and of a hint: what a file holds may be of any length."""


class PasctlError(Exception):
    """An expected failure.

    The message names the thing, what was expected and what was found; the hint says what to do. Both are one line:
    control characters in what they quote are written as escapes, and the middle of long ones is left out.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = clean(message, MOST_CHARACTERS)
        self.hint = None if hint is None else clean(hint, MOST_CHARACTERS)
        super().__init__(self.message)


class InputError(PasctlError):
    """The user's words or data do not make sense: an option, a persona, an answer out of range."""

    exit_code = 2


class MissingError(PasctlError):
    """A model, a file, an artifact or an optional package is not there."""

    exit_code = 3


class IntegrityError(PasctlError):
    """The store holds something that does not match its digest or its index."""

    exit_code = 4


class BusyError(PasctlError):
    """Somebody else is at the same work and did not finish in time."""

    exit_code = 5


class StoreError(PasctlError):
    """The store cannot be read or written: disk full, read-only, no permission."""


class RemoteError(PasctlError):
    """A remote cannot be reached, read or written."""
