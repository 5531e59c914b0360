"""Texts that are read into a memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pasctl.errors import InputError, MissingError
from pasctl.memory.documents import binary_kind, kind_of, words_of
from pasctl.memory.text_bounds import FileSpan
from pasctl.text_file import refuse_device

_BETWEEN = "\n\n"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class NoTextError(InputError):
    """A file has no text in it: it is empty or binary.

    Attributes:
        reason: what it is.
    """

    def __init__(self, message: str, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


@dataclass(frozen=True)
class Text:
    """A text and what it is called.

    Attributes:
        name: of the file.
        content: the text.
        modified: when the file was last changed, in seconds since 1970; None if it is not known.
    """

    name: str
    content: str
    modified: float | None = None

    @classmethod
    def load(cls, path: Path | str) -> Text:
        """Read a file.

        Raises:
            MissingError: no such file, or it is a document and the converter is not installed.
            InputError: it is empty, binary, not UTF-8, or a device; or its name is a URL.
        """
        if _URL.match(str(path)):
            raise InputError(
                f"text {path} is a URL, expected a file", hint=f"download it first, for example with `curl -LO {path}`"
            )
        path = Path(path)
        try:
            refuse_device(path, "text")
            data, modified = path.read_bytes(), path.stat().st_mtime
        except OSError as error:
            raise MissingError(f"text {path} cannot be read: {error.strerror}") from error
        return replace(cls.decode(str(path), data), modified=modified)

    @classmethod
    def decode(cls, name: str, data: bytes) -> Text:
        """A text from its bytes; of a document its words.

        Raises:
            MissingError: they are a document, and the converter is not installed.
            InputError: they are empty, binary, or not UTF-8.
        """
        if document := kind_of(data):
            return cls(name, words_of(name, data, *document))
        zero, kind = data.find(b"\0"), binary_kind(data)
        if kind is not None or zero >= 0:
            raise NoTextError(
                f"text {name} is {kind}" if kind else f"text {name} is binary: byte {zero} is zero",
                kind or "binary",
                hint="convert it to plain text in UTF-8 first",
            )
        try:
            content = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise InputError(
                f"text {name} is not UTF-8: byte {error.start} (line {line}) is 0x{data[error.start]:02x}",
                hint=f"convert it, for example with `iconv -f latin1 -t utf-8 {name}`",
            ) from error
        if not content.strip():
            raise NoTextError(f"text {name} is empty, expected something to read", "empty")
        return cls(name, content)

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class KnownText(Text):
    """A text of which only the digest is known, and which is not read.

    Attributes:
        known: sha256 of the content.
    """

    known: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        return self.known


def join_texts(texts: Sequence[Text]) -> str:
    """Texts one behind the other, with an empty line between them."""
    return _BETWEEN.join(text.content for text in texts)


def joined_spans(texts: Sequence[Text], start: int = 0) -> list[FileSpan]:
    """Where each text stands in `join_texts`, if that begins at character `start`."""
    spans = []
    for text in texts:
        stop = start + len(text.content)
        spans.append(FileSpan(text.name, start, stop, text.digest, text.modified))
        start = stop + len(_BETWEEN)
    return spans


def label_of(text: Text) -> str:
    """A word that can be part of an artifact's name, from a text's."""
    stem = Path(text.name).stem.lower()
    word = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in stem)
    return word.strip("-._") or "text"
