"""Texts side by side while all are written, without moving the cursor up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.cells import cell_len, set_cell_size

_GAP = "  │  "
LEAST = 30  # characters of a column below which texts stand one above the other


def column_width(terminal: int, count: int = 2) -> int | None:
    """Characters of each of `count` columns; None if the terminal is too narrow for them."""
    # the last place stays free: a terminal may wrap behind it
    width = (terminal - len(_GAP) * (count - 1) - 1) // count
    return width if width >= LEAST else None


class Columns:
    """Prints rows of columns: the row that grows is drawn over itself, and a full one stays.

    A line of a text is final when another has begun, so what was printed is never wrong.
    """

    def __init__(self, out: TextIO, width: int, count: int = 2) -> None:
        self._out, self._width = out, width
        self._texts = [""] * count
        self._row = 0

    def add(self, side: int, piece: str) -> None:
        """One of the texts, by its number from 0, grows by a piece."""
        self._texts[side] += piece
        self._draw(ended=False)

    def finish(self) -> None:
        """Print what is left; the cursor is at the beginning of a line then."""
        self._draw(ended=True)

    def _draw(self, *, ended: bool) -> None:
        columns = [list(wrapped(text, self._width)) for text in self._texts]
        lengths = list(map(len, columns))
        last = max(lengths) - 1 if ended else min(lengths) - 1
        while self._row < last:
            self._put(columns, "\n")
            self._row += 1
        self._put(columns, "\n" if ended else "")
        self._out.flush()

    def _put(self, columns: Sequence[Sequence[str]], end: str) -> None:
        *cells, last = (lines[self._row] if self._row < len(lines) else "" for lines in columns)
        cells = [set_cell_size(cell, self._width) for cell in cells]
        row = _GAP.join([*cells, set_cell_size(last, self._width) if not end else last])
        self._out.write(f"\r{row}{end}")


def wrapped(text: str, width: int) -> Iterator[str]:
    """A text in lines of at most `width` cells, broken between words where that can be. There is always one line.

    More text changes the last line only.
    """
    for paragraph in text.split("\n"):
        line = ""
        for word in _words(paragraph):
            if line and cell_len((line + word).rstrip(" ")) > width:
                yield line.rstrip(" ")
                line, word = "", word.lstrip(" ")
            while cell_len(word.rstrip(" ")) > width:
                cut = _fitting(word, width)
                yield word[:cut]
                word = word[cut:]
            line += word
        yield line.rstrip(" ")


def _words(paragraph: str) -> Iterator[str]:
    """The words of a line, each with the spaces before it."""
    start = 0
    for place in range(1, len(paragraph)):
        if paragraph[place] == " " and paragraph[place - 1] != " ":
            yield paragraph[start:place]
            start = place
    yield paragraph[start:]


def _fitting(word: str, width: int) -> int:
    """How many characters of a word fit; at least one."""
    cells = 0
    for place, letter in enumerate(word):
        cells += cell_len(letter)
        if cells > width:
            return max(1, place)
    return len(word)
