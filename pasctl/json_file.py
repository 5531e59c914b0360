"""JSON of others, read within bounds: every file and text that pasctl did not just write itself comes through here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pasctl.printable import is_hidden

MOST_DEPTH = 64
"""Lists and objects within each other; no file of ours has ten."""
MOST_BYTES = 1 << 28
_PART = 1 << 20  # bytes that are read at once: a file may be a device without an end


class JsonError(ValueError):
    """A text that is no JSON, or beyond the bounds; one line without the file's name."""


def read_json(path: Path, *, most_bytes: int = MOST_BYTES, unique: bool = False, constants: bool = False) -> Any:
    """The value in a UTF-8 file.

    Args:
        path: the file.
        most_bytes: of the file.
        unique: refuse an object that has a name twice; else the last one counts.
        constants: take NaN and Infinity, which are no JSON but occur in the configs of models.

    Raises:
        OSError: the file cannot be read.
        JsonError: it is no JSON, larger, or nested too deeply.
    """
    data = bytearray()
    with path.open("rb") as stream:
        while part := stream.read(_PART):
            data += part
            if len(data) > most_bytes:
                raise JsonError(f"more than {most_bytes:,} bytes")
    return parse_json(bytes(data), unique=unique, constants=constants)


def parse_json(text: str | bytes, *, unique: bool = False, constants: bool = False) -> Any:
    """The value of a text; see `read_json`.

    Raises:
        JsonError: it is no JSON, or nested too deeply.
    """
    more: dict[str, Any] = {"object_pairs_hook": _unique} if unique else {}
    if not constants:
        more["parse_constant"] = _refuse
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, **more)
    except RecursionError:
        raise JsonError(f"nested more than {MOST_DEPTH} deep") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}") from error
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError(str(error)) from error
    if text.count("[") + text.count("{") > MOST_DEPTH:
        _require_flat(value)
    return value


def json_line(document: Any, *, default: Callable[[Any], Any] | None = None) -> str:
    """A value as JSON on one line. Letters stay as they are; what a terminal would obey is escaped, which JSON allows.

    Raises:
        ValueError: NaN or infinity.
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, default=default)
    if text.isprintable():
        return text
    return "".join(json.dumps(sign)[1:-1] if is_hidden(sign) else sign for sign in text)


def _require_flat(value: Any) -> None:
    """Refuse what code that follows a value inwards would fail on."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise JsonError(f"nested more than {MOST_DEPTH} deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names occur once: json keeps the last of two without a word."""
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        raise JsonError(f"{next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return document


def _refuse(constant: str) -> NoReturn:
    raise JsonError(f"{constant} is no number in JSON")
