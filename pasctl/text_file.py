"""Files that others name: `~` is a home folder where there is one, and devices are not among them."""

from __future__ import annotations

import os
from pathlib import Path

from pasctl.errors import InputError


def refuse_device(path: Path, what: str) -> None:
    """Refuse a device, such as /dev/zero, which has no end and would take all memory; pipes have one.

    Args:
        path: the file.
        what: it is, for the message.

    Raises:
        InputError: it is a device.
    """
    if path.is_char_device() or path.is_block_device():
        raise InputError(f"{what} {path} is a device, expected a file")


def expand_home(name: Path | str) -> Path:
    """A path with `~` and `~user` written out. pathlib raises where such a user is not known.

    An unknown user's stays as it is, as in a shell. Without a home folder of one's own `~` is a place where nothing is
    and nothing can be written.
    """
    path = Path(os.path.expanduser(name))
    return Path(os.devnull, *path.parts[1:]) if path.parts[:1] == ("~",) else path
