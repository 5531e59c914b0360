"""The API keys that requests may bring: one of the settings, and those of a file."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pasctl.errors import InputError, MissingError

_KEY = re.compile(r"[!-~]+")
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,63}):(.*)")
UNNAMED = "unnamed"
"""What a key without a name is called in logs and metrics."""
_MOST_BYTES = 1 << 20

Note = Callable[[str], None]


@dataclass(frozen=True)
class ApiKey:
    """A key that requests may bring, and what it is called where the key itself may not stand."""

    key: str = field(repr=False)
    name: str = UNNAMED


def check_key(key: str, where: str) -> None:
    """Refuse what cannot be sent in a header.

    Raises:
        InputError: the key is empty, or has other characters than visible ones of ASCII.
    """
    if not _KEY.fullmatch(key):
        raise InputError(f"{where} is empty, or has white space or other than ASCII characters")


def read_keys(path: str | Path, note: Note | None = None) -> tuple[ApiKey, ...]:
    """The keys in a file, one per line as KEY or NAME:KEY; empty lines and comments from a # on do not count.

    Several keys may have one name.

    Args:
        path: the file.
        note: called with one line if everybody on this machine can read the file.

    Raises:
        MissingError: there is no such file, or it cannot be read.
        InputError: it has no key, a line that is none, or a key twice.
    """
    try:
        with Path(path).open("rb") as file:
            content, mode = file.read(_MOST_BYTES + 1), os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingError(f"the file of API keys {str(path)!r} cannot be read: {reason.lower()}") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"the file of API keys {str(path)!r} has more than {_MOST_BYTES} bytes")
    keys = tuple(_keys(content.decode("utf-8-sig", errors="replace"), str(path)))
    if not keys:
        raise InputError(f"the file of API keys {str(path)!r} has no key, expected one per line")
    if note is not None and stat.S_ISREG(mode) and mode & stat.S_IROTH:
        note(f"everybody on this machine can read the API keys in {str(path)!r}: chmod 600 it")
    return keys


def _keys(text: str, path: str) -> list[ApiKey]:
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"(?:^|\s+)#", line, maxsplit=1)[0].strip()
        if words:
            named = _NAMED.fullmatch(words)
            name, key = named.groups() if named else (UNNAMED, words)
            where = f"line {number} of the file of API keys {path!r}"
            check_key(key, where)
            if key in keys:
                raise InputError(f"{where} has a key of a line before, expected each once")
            keys[key] = ApiKey(key, name)
    return list(keys.values())


class KeyCheck:
    """Compares a request's key with all that are valid, in a time that tells nothing of them."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        """Keep digests, which are of one length."""
        self._known = [(_digest(each.key.encode()), each.name) for each in keys]

    def name_of(self, key: bytes) -> str | None:
        """What a key is called; None if it is none of them."""
        digest, found = _digest(key), None
        for each, name in self._known:  # all, always
            if hmac.compare_digest(digest, each):
                found = name
        return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
