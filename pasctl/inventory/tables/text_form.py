"""The form of a text file of rows: its encoding, what separates its fields, and whether all lines have as many."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pasctl.errors import InputError
from pasctl.inventory.scale import MOST_POINTS
from pasctl.inventory.tables.table import number_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "\\t": "\t"}
_SAMPLE_LINES, _SAMPLE = 50, 1 << 18
_CHUNK = 1 << 20
_MOST_FIELD = 1 << 20


@dataclass(frozen=True)
class TextForm:
    """How a text file is read: its encoding, and the character between fields."""

    encoding: str
    separator: str


def text_form(path: Path, separator: str = "", encoding: str = "") -> TextForm:
    """The form of a file; what is given is not looked for.

    Raises:
        InputError: its encoding is unknown, or it is no text.
    """
    encoding = encoding or _encoding(path)
    try:
        "".encode(encoding)
    except (LookupError, ValueError) as error:
        raise InputError(f"map, encoding: {encoding!r} is unknown", hint="such as utf-8, utf-16 or cp1252") from error
    with opened(path, encoding) as stream:
        sample = stream.read(_SAMPLE)
    if "\0" in sample:
        raise InputError(f"{path}: text is expected, found bytes that are none", hint="is the file's ending right?")
    separator = _WORDS.get(separator.strip().lower() or separator, separator)
    if len(separator) > 1 or separator in ('"', "\n", "\r"):
        raise InputError(
            f"map, separator: one character is expected, found {separator!r:.60}", hint=f"such as {', '.join(_WORDS)}"
        )
    return TextForm(encoding, separator or _separator(sample, path))


@contextmanager
def opened(path: Path, encoding: str) -> Iterator[TextIO]:
    """The file as text; what is no such text is an error of the file."""
    try:
        with path.open(encoding=encoding, newline="") as stream:
            yield stream
    except UnicodeError as error:
        raise InputError(
            f"{path}: not readable as {encoding} text: {error}", hint="--map with a line such as encoding: cp1252"
        ) from error


def numbered_rows(path: Path, form: TextForm) -> Iterator[tuple[int, list[str]]]:
    """(line, cells without spaces at their ends) of each row that is not empty."""
    csv.field_size_limit(_MOST_FIELD)
    with opened(path, form.encoding) as stream:
        reader = csv.reader(stream, delimiter=form.separator)
        try:
            for cells in reader:
                cells = [cell.strip() for cell in cells]
                if any(cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise InputError(f"{path}: line {reader.line_num}: not readable as a table: {error}") from error


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(4096)
        if start.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        # Latin letters in UTF-16 without a mark: every other byte is zero.
        if len(start) >= 4 and (even := start[::2].count(0), odd := start[1::2].count(0)):
            if odd > len(start) / 3 and not even:
                return "utf-16-le"
            if even > len(start) / 3 and not odd:
                return "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            chunk = start
            while chunk:
                decoder.decode(chunk)
                chunk = stream.read(_CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _separator(sample: str, path: Path) -> str:
    """The character that cuts the lines into the same number of fields, most of them where several do."""
    usual = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    best = (0.0, 0, False)
    chosen = usual
    for sign in SEPARATORS:
        rows = []
        try:
            for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=sign):
                if any(cell.strip() for cell in cells):
                    rows.append(len(cells))
                if len(rows) == _SAMPLE_LINES:
                    break
        except csv.Error:
            continue
        width, times = Counter(rows).most_common(1)[0] if rows else (1, 0)
        if width < 2:
            continue
        score = (times / len(rows), width, sign == usual)
        if score > best:
            best, chosen = score, sign
    return chosen


def looks_like_answers(cells: list[str]) -> bool:
    """Whether a row that should have names of columns has numbers instead."""
    given = [cell for cell in cells if cell]
    numbers = [number for cell in given if (number := number_of(cell)) is not None]
    if len(numbers) > MOST_POINTS and sorted(numbers) == list(range(1, len(numbers) + 1)):
        return False  # names that count: 1, 2, ..
    return bool(given) and len(numbers) >= len(given) / 2
