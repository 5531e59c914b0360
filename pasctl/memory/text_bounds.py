"""Which characters and lines of which file each token of a text comes from; importable without torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_BOUNDS = "text.parquet"
"""The file of an artifact that holds the bounds of its texts."""
FACTS = "files"
"""Of an artifact's provenance: names and times of its files."""


@dataclass(frozen=True)
class FileSpan:
    """A file's part of a string that was read.

    Attributes:
        name: of the file; None if it has none.
        start: its first character in the string.
        stop: the character behind its last one.
        digest: sha256 of its content; empty if it is not known.
        modified: when the file was last changed, in seconds since 1970; None if it is not known.
    """

    name: str | None
    start: int
    stop: int
    digest: str = ""
    modified: float | None = None


@dataclass(frozen=True)
class Place:
    """Where tokens come from: lines count from 1, both ends included; `characters` is a slice of the file's text.

    Attributes:
        first: first token.
        stop: the token behind the last one.
    """

    file: str | None
    lines: tuple[int, int]
    characters: tuple[int, int]
    first: int
    stop: int
    modified: float | None = None


@dataclass(frozen=True, eq=False)
class TextBounds:
    """A string that was read in one go, and the files that it consists of.

    Attributes:
        first: its first token in the memory.
        starts: int64, the character at which each of its tokens begins, and the number of characters.
        newlines: int64, the characters that end a line.
        files: in order.
    """

    first: int
    starts: np.ndarray
    newlines: np.ndarray
    files: tuple[FileSpan, ...]

    @classmethod
    def of(cls, text: str, starts: Sequence[int], first: int, files: Sequence[FileSpan] = ()) -> TextBounds:
        """Bounds of a text whose tokens begin at the characters `starts`; by default it is one file without a name."""
        ends = np.flatnonzero(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4") == ord("\n"))
        spans = tuple(files) or (FileSpan(None, 0, len(text)),)
        return cls(first, np.asarray([*starts, len(text)], np.int64), ends, spans)

    @property
    def stop(self) -> int:
        """The token behind its last one."""
        return self.first + len(self.starts) - 1

    def moved(self, first: int) -> TextBounds:
        """The same, with its first token in another place."""
        return replace(self, first=first)

    def places(self, start: int, stop: int) -> list[Place]:
        """Where the tokens from `start` to `stop` come from: a place per file."""
        start, stop = max(start, self.first), min(stop, self.stop)
        if start >= stop:
            return []
        begin, end = self._character(start), self._character(stop)
        places = []
        for span in self.files:
            low, high = max(begin, span.start), min(end, span.stop)
            if low < high:
                tokens = np.searchsorted(self.starts[:-1], [low, high], "left") + self.first
                # a token that begins before the file may have its first characters
                inside = max(start, int(tokens[0])), min(stop, int(tokens[1]))
                lines = self._line(low, span), self._line(high - 1, span)
                characters = (low - span.start, high - span.start)
                places.append(Place(span.name, lines, characters, *inside, span.modified))
        return places

    def _character(self, token: int) -> int:
        """The first character of a token; behind the character if that begins in the token before."""
        place = token - self.first
        character = self.starts[place]
        if place > 0 and self.starts[place - 1] == character:
            place = min(int(np.searchsorted(self.starts, character, "right")), len(self.starts) - 1)
        return int(self.starts[place])

    def _line(self, character: int, span: FileSpan) -> int:
        before, now = np.searchsorted(self.newlines, [span.start, character], "left")
        return int(now - before) + 1


def find_places(bounds: Sequence[TextBounds], start: int, stop: int) -> list[Place]:
    """Where some tokens of a memory come from; none for what the chat template wrote."""
    firsts = [part.first for part in bounds]
    place = max(0, bisect_right(firsts, start) - 1)
    places = []
    while place < len(bounds) and bounds[place].first < stop:
        places += bounds[place].places(start, stop)
        place += 1
    return places


def file_facts(bounds: Iterable[TextBounds]) -> list[dict[str, Any]]:
    """Names and times of the files, in order: what a table does not hold, as it is no part of the text."""
    return [{"name": file.name, "modified": file.modified} for part in bounds for file in part.files]


def to_table(bounds: Iterable[TextBounds]) -> pa.Table:
    """Bounds as a table of a row per string; differences take a byte or less per token once they are compressed."""
    import pyarrow as pa

    rows = [
        {
            "first": part.first,
            "starts": np.diff(part.starts, prepend=0).astype(np.uint32),
            "newlines": np.diff(part.newlines, prepend=0).astype(np.uint32),
            "files": [{"start": file.start, "stop": file.stop, "digest": file.digest} for file in part.files],
        }
        for part in bounds
    ]
    return pa.Table.from_pylist(rows, schema=_schema())


def from_table(table: pa.Table, facts: Sequence[Mapping[str, Any]] = ()) -> list[TextBounds]:
    """What `to_table` and `file_facts` were given; files without facts have no name.

    Raises:
        ValueError: the table is another one.
    """
    if table.schema.names != _schema().names:
        raise ValueError(f"columns {', '.join(table.schema.names)}, expected {', '.join(_schema().names)}")
    parts, known = [], iter(facts)
    for number in range(table.num_rows):
        starts, newlines = (_whole(table.column(name)[number]) for name in ("starts", "newlines"))
        files = tuple(
            FileSpan(name=fact.get("name"), modified=fact.get("modified"), **file)
            for file in table.column("files")[number].as_py()
            for fact in (next(known, {}),)
        )
        parts.append(TextBounds(table.column("first")[number].as_py(), starts, newlines, files))
    return parts


def _whole(differences: Any) -> np.ndarray:
    return np.cumsum(differences.values.to_numpy().astype(np.int64))


def _schema() -> pa.Schema:
    import pyarrow as pa

    file = {"start": pa.int64(), "stop": pa.int64(), "digest": pa.string()}
    return pa.schema(
        {
            "first": pa.int64(),
            "starts": pa.list_(pa.uint32()),
            "newlines": pa.list_(pa.uint32()),
            "files": pa.list_(pa.struct(file)),
        }
    )
