"""The words that name respondents in a file: `FILE`, `FILE:0-20`, `FILE:where=country=DE,age>=30:0-20`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pasctl.errors import InputError
from pasctl.inventory.selection import Part, parse_selection
from pasctl.inventory.tables.source import ENDINGS
from pasctl.inventory.tables.where import Condition, parse_where

_ENDINGS = "|".join(re.escape(ending) for ending in (".json", *ENDINGS))
_FILE = re.compile(rf"(.+?(?:{_ENDINGS}))(?::(.*))?", re.IGNORECASE | re.DOTALL)
_WHERE = "where="


@dataclass(frozen=True)
class FileSpec:
    """Respondents of a file.

    Attributes:
        path: The file.
        where: What must be true of them.
        parts: Of a selection among those; all of them without any.
        spec: As it was typed.
    """

    path: Path
    where: tuple[Condition, ...]
    parts: tuple[Part, ...]
    spec: str


def split_file(spec: str) -> FileSpec | None:
    """The file and the selection that some words name; None for words that name no file of answers.

    Raises:
        InputError: what follows the file is no selection.
    """
    found = _FILE.fullmatch(spec)
    if found is None:
        return None
    where, parts = _selection(found[2]) if found[2] is not None else ("", [])
    if parts is None:
        raise InputError(
            f"personas {spec!r}: {found[2]!r} is no selection",
            hint="such as 0-20 (the first 20), 7, case=172481 or where=country=DE",
        )
    return FileSpec(Path(found[1]), parse_where(where) if where else (), tuple(parts), spec)


def _selection(text: str) -> tuple[str, list[Part] | None]:
    """`where=CONDITIONS:SELECT` -> (conditions, parts); parts are None where it is none of both."""
    if not text.startswith(_WHERE):
        return "", parse_selection(text)
    where, colon, last = text.removeprefix(_WHERE).rpartition(":")
    parts = parse_selection(last) if colon else None
    return (text.removeprefix(_WHERE), []) if parts is None else (where, parts)
