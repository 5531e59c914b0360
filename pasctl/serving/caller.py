"""What is known of the request that is being answered, for logs, metrics and error bodies."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")


@dataclass
class Caller:
    """A request's id, and the name of the key that it brought.

    Attributes:
        id: the client's own, or one that was made.
        key: name of its key; "" without one.
        in_words: errors are told in one text, as Ollama's clients read them.
    """

    id: str
    key: str = ""
    in_words: bool = False


CALLER: ContextVar[Caller | None] = ContextVar("pasctl_caller", default=None)
"""Whose request is being answered in this context."""


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that a request brings if it is short and plain enough to stand in a log, else a new one."""
    given = [value for name, value in headers if name == HEADER]
    if len(given) == 1 and _SANE.fullmatch(given[0]):
        return given[0].decode("ascii")
    return uuid.uuid4().hex


def current_id() -> str | None:
    """The id of the request that is being answered; None outside of any."""
    caller = CALLER.get()
    return caller.id if caller else None
