"""Documents that are no plain text, known by what they begin with and not by their name, and their words."""

from __future__ import annotations

import io
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path

from pasctl.bounded import Bounds, BoundsError, run_bounded
from pasctl.errors import InputError, MissingError

_SCRIPT = Path(__file__).with_name("document_words.py")
_BOUNDS = Bounds(memory=8 << 30, seconds=600)  # the converter's libraries reserve far more than they use
_HEAD = 4096
# white space, comments and an XML declaration may stand before the first tag of an HTML file
_HTML = re.compile(rb"(\s|<\?xml[^>]*\?>|<!--.*?-->)*<(!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL)
_PARTS = {"word/": ("Word", "docx"), "ppt/": ("PowerPoint", "pptx"), "xl/": ("Excel", "xlsx")}
_BINARY = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Office file",
    b"{\\rtf": "an RTF document",
    b"SQLite format 3": "a SQLite database",
    b"\x7fELF": "a program",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def kind_of(data: bytes) -> tuple[str, str] | None:
    """What a document is, and the ending that it should have; None for what is no document that can be converted."""
    if b"%PDF-" in data[:1024]:
        return "a PDF document", "pdf"
    if data.startswith(b"PK\x03\x04"):
        return _zipped(data)
    if _HTML.match(data[:_HEAD].removeprefix(b"\xef\xbb\xbf")):
        return "an HTML page", "html"
    return None


def binary_kind(data: bytes) -> str | None:
    """What kind of binary file begins so, if it is a well-known one."""
    return next((kind for start, kind in _BINARY.items() if data.startswith(start)), None)


def words_of(name: str, data: bytes, kind: str, ending: str) -> str:
    """The words of a document, as Markdown.

    Args:
        name: of the file, for messages.
        data: its bytes.
        kind: what it is.
        ending: of the files of its kind.

    Raises:
        MissingError: the converter is not installed.
        InputError: the document is damaged, or has no words.
    """
    if find_spec("markitdown") is None:
        raise MissingError(
            f"text {name} is {kind}: reading it needs the package markitdown",
            hint="pip install 'pasctl[documents]', or convert it to plain text first",
        )
    try:
        words = run_bounded(_SCRIPT, ending, given=data, bounds=_BOUNDS).decode("utf-8")
    except BoundsError as error:
        raise InputError(
            f"text {name} is {kind}, and it cannot be read: {error}", hint="convert it to plain text first"
        ) from error
    if not words.strip():
        raise InputError(
            f"text {name} is {kind} without words", hint="pages that are pictures must be recognised first"
        )
    return words


def _zipped(data: bytes) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if "META-INF/container.xml" in names:
        return "an EPUB book", "epub"
    for start, (program, ending) in _PARTS.items():
        if "[Content_Types].xml" in names and any(name.startswith(start) for name in names):
            return f"a {program} document" if program != "Excel" else "an Excel document", ending
    return None
