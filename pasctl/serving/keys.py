"""The API keys that requests may bring: one of the settings, and those of a file."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from pasctl.errors import InputError, MissingError

_KEY = re.compile(r"[!-~]+")
_MOST_BYTES = 1 << 20

Note = Callable[[str], None]


def check_key(key: str, where: str) -> None:
    """Refuse what cannot be sent in a header.

    Raises:
        InputError: the key is empty, or has other characters than visible ones of ASCII.
    """
    if not _KEY.fullmatch(key):
        raise InputError(f"{where} is empty, or has white space or other than ASCII characters")


def read_keys(path: str | Path, note: Note | None = None) -> tuple[str, ...]:
    """The keys in a file: one per line; empty lines and what follows a # at the start of a word do not count.

    Args:
        path: the file.
        note: called with one line if everybody on this machine can read the file.

    Raises:
        MissingError: there is no such file, or it cannot be read.
        InputError: it has no key, or a line that is none.
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


def _keys(text: str, path: str) -> list[str]:
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"(?:^|\s+)#", line, maxsplit=1)[0].strip()
        if words:
            check_key(words, f"line {number} of the file of API keys {path!r}")
            keys.append(words)
    return keys


class KeyCheck:
    """Compares a request's key with all that are valid, in a time that tells nothing of them."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Keep digests, which are of one length."""
        self._digests = [_digest(key.encode()) for key in keys]

    def __call__(self, key: bytes) -> bool:
        """Whether it is one of them."""
        digest = _digest(key)
        return any([hmac.compare_digest(digest, each) for each in self._digests])  # noqa: C419 - all, always


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
