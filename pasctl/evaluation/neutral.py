"""Neutral text: what steering does to it is a side effect, since there is no personality in it to change."""

from __future__ import annotations

from pathlib import Path

from pasctl.errors import InputError, MissingError
from pasctl.text_file import refuse_device

BUILTIN = "builtin"

_FILE = Path(__file__).parent / "neutral.txt"


def neutral_text() -> str:
    """About two pages on tides, bread and maps, a paragraph a line: no persons, no opinions, nobody who speaks."""
    return _FILE.read_text(encoding="utf-8")


def read_neutral(spec: str) -> tuple[str, str]:
    """The text that side effects are measured on, and what it is called.

    Args:
        spec: "builtin", or the path of a UTF-8 file.

    Returns:
        The text and its name: "builtin", or the file's name without its folders.

    Raises:
        MissingError: no such file.
        InputError: the file cannot be read, is not UTF-8, or is empty.
    """
    if spec == BUILTIN:
        return neutral_text(), BUILTIN
    path = Path(spec)
    try:
        refuse_device(path, "neutral text")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingError(
            f"neutral text {spec} does not exist", hint=f"give {BUILTIN!r} or the path of a UTF-8 text file"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"neutral text {spec} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}",
            hint="convert it to UTF-8 first",
        ) from error
    except OSError as error:
        raise InputError(
            f"neutral text {spec} cannot be read: {error.strerror}",
            hint=f"give {BUILTIN!r} or the path of a UTF-8 text file",
        ) from error
    if not text.strip():
        raise InputError(f"neutral text {spec} is empty", hint="expected prose of a few hundred words")
    return text, path.name
