"""Rows of a file of pairs, each with its place in the file: JSON lines, JSON, CSV or TSV, in UTF-8."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasctl import json_file
from pasctl.errors import InputError, MissingError

MOST_BYTES = 100_000_000
FORMS = (
    "a row has positive and negative (two texts), prompt, positive and negative (two replies), or question, "
    "answer_matching_behavior and answer_not_matching_behavior"
)
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        where: file and line, or file and entry, for messages.
        number: its line, or its entry from 1 on.
        values: column in small letters -> what is there, as yet unchecked; empty fields are left out.
    """

    where: str
    number: int
    values: dict[str, Any]


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        MissingError: there is no such file.
        InputError: another ending, a folder, a file that is too large, not readable, or not UTF-8.
    """
    if not path.exists():
        raise MissingError(f"file of pairs {path} does not exist", hint=f"pairs:FILE names one; {FORMS}")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, found {path.suffix or 'no ending'}"
        )
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            limit = f"{MOST_BYTES // 1_000_000} MB"
            raise InputError(
                f"{path}: expected at most {limit}, found {size / 1e6:.0f} MB", hint="take a part of the pairs"
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", hint="expected a file of pairs") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: expected UTF-8, found byte 0x{error.object[error.start]:02x}",
            hint="save the file as UTF-8",
        ) from error


def json_lines(text: str, path: Path) -> Iterator[Row]:
    """One row per line; empty lines are skipped."""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield row_of(parse_json(line, where), where, number)


def tabular(text: str, path: Path) -> Iterator[Row]:
    """One row per record of a CSV (commas) or TSV (tabs) file with a header."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        twice = [name for name, count in Counter(header).items() if count > 1 and name]
        if twice:
            raise InputError(f"{path}, line 1: expected columns with different names, found {twice[0]!r} twice")
        for record in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(field.strip() for field in record):
                continue
            if len(record) != len(header):
                raise InputError(
                    f"{where}: expected {len(header)} fields, as in the header, found {len(record)}",
                    hint="a text with a comma, a tab or a line break stands in double quotes",
                )
            yield row_of(dict(zip(header, record, strict=True)), where, reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not readable as CSV: {error}") from error


def parse_json(text: str, where: str) -> Any:
    """A JSON document.

    Raises:
        InputError: it is none.
    """
    try:
        return json_file.parse_json(text)
    except ValueError as error:
        hint = (
            "JSON lines, one object per line, go in a file that ends in .jsonl" if "Extra data" in str(error) else FORMS
        )
        raise InputError(f"{where}: not readable as JSON: {error}", hint=hint) from error


def row_of(entry: Any, where: str, number: int) -> Row:
    """An object, or a list of two texts (positive, negative), as a row.

    Raises:
        InputError: it is neither, or a value is no text.
    """
    if isinstance(entry, list) and len(entry) == 2:
        entry = dict(zip(("positive", "negative"), entry, strict=True))
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, found {shown(entry)}", hint=FORMS)
    present = {str(name).strip().lower(): value for name, value in entry.items() if not _is_empty(value)}
    return Row(where, number, present)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def text_of(value: Any, where: str, name: str) -> str:
    """The value, if it is a text that is not blank.

    Raises:
        InputError: another type, blank, or with half a surrogate pair, which no UTF-8 has.
    """
    if not isinstance(value, str):
        raise InputError(f"{where}: expected a text as {name}, found {shown(value)}")
    if not value.strip():
        raise InputError(f"{where}: expected a text as {name}, found a blank one")
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InputError(f"{where}: expected Unicode text as {name}, found half a surrogate pair")
    return value


def shown(value: Any) -> str:
    """A value of a JSON document in a few words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    kind = names.get(type(value), "a number")
    return f"{kind} of {len(value)}" if isinstance(value, list) else kind
