"""The records of a benchmark's file: JSON lines or one JSON array, and typed access to their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.json_file import JsonError, parse_json, read_json
from pasctl.text_file import expand_home, refuse_device

MOST_BYTES = 1 << 33  # LongMemEval's largest file has 2.7 GB
_KINDS = {str: "text", list: "a list", dict: "an object", int: "a number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Record:
    """One record, which knows where it stands.

    Attributes:
        path: its file.
        place: "line 3" or "record 3".
    """

    path: Path
    place: str
    fields: Mapping[str, Any]

    def text(self, name: str, default: str | None = None) -> str:
        """A field that is text, or a number as text.

        Raises:
            InputError: it is missing and there is no default, or is something else.
        """
        value = self.fields.get(name)
        if value is None and default is not None:
            return default
        text = _as_text(value)
        if text is None:
            raise self.wrong(name, "text", value)
        return text

    def texts(self, name: str, *, optional: bool = False) -> tuple[str, ...]:
        """A field that is a list of texts; a text alone is a list of one.

        Raises:
            InputError: it is something else, or empty though it is not optional.
        """
        value = self.fields.get(name)
        if value is None and optional:
            return ()
        listed = value if isinstance(value, list) else [value]
        texts = [text for text in map(_as_text, listed) if text is not None]
        if len(texts) < len(listed):
            raise self.wrong(name, "a list of texts", value)
        if not optional and not any(part.strip() for part in texts):
            raise self.wrong(name, "at least one text that is not empty", value)
        return tuple(texts)

    def listed(self, name: str) -> list[Any]:
        """A field that is a list.

        Raises:
            InputError: it is something else.
        """
        value = self.fields.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "a list", value)
        return value

    def wrong(self, name: str, expected: str, value: Any) -> InputError:
        """The error of a field that is not what is expected."""
        if name not in self.fields:
            has = f"no such field among {', '.join(sorted(self.fields)[:8]) or 'none'}"
        elif value is None:
            has = "null"
        else:
            has = _KINDS.get(type(value), type(value).__name__)
            has += f" {str(value)[:40]!r}" if isinstance(value, str | int | float | list) else ""
        return InputError(f"{self.path}, {self.place}, field {name!r}: expected {expected}, found {has}")


def _as_text(value: Any) -> str | None:
    """A text, or a number as text; None for anything else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def read_records(name: str) -> Iterator[Record]:
    """The records of a file: one in each line, or the members of one array.

    Raises:
        MissingError: there is no such file.
        InputError: it is no JSON, cut off, or has no record.
    """
    path = expand_home(name)
    refuse_device(path, "data file")
    if path.suffix == ".parquet":
        raise InputError(f"{path} is a Parquet file, expected JSON lines or a JSON array", hint=_PARQUET)
    try:
        with path.open("rb") as stream:
            first = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        records = _array(path) if first.startswith(b"[") else _lines(path)
        any_record = False
        for place, value in records:
            any_record = True
            if not isinstance(value, dict):
                raise InputError(f"{path}, {place}: expected an object, found {_KINDS.get(type(value), 'null')}")
            yield Record(path, place, value)
    except FileNotFoundError as error:
        raise MissingError(f"data file {path} does not exist") from error
    except OSError as error:
        raise InputError(f"data file {path} cannot be read: {error.strerror}") from error
    if not any_record:
        raise InputError(f"data file {path} has no record, expected at least one")


_PARQUET = "convert it: pandas.read_parquet(FILE).to_json('data.jsonl', orient='records', lines=True)"


def _array(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        values = read_json(path, most_bytes=MOST_BYTES, constants=True)
    except JsonError as error:
        raise InputError(f"{path}: expected a JSON array, found {error}", hint="is the file complete?") from error
    for number, value in enumerate(values, 1):
        yield f"record {number}", value


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield f"line {number}", parse_json(line, constants=True)
            except JsonError as error:
                raise InputError(
                    f"{path}, line {number}: expected a JSON object, found {error}", hint="is the line complete?"
                ) from error
