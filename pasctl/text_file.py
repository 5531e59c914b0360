"""Files of text that others name: devices are not among them."""

from __future__ import annotations

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
