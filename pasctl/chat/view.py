"""What a chat shows: answers on stdout, all else on stderr."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

from pasctl.chat.columns import Columns, column_width
from pasctl.chat.session import Turn
from pasctl.errors import PasctlError
from pasctl.json_file import json_line
from pasctl.printable import clean, clean_lines, without_controls

Texts = Sequence[tuple[str, Iterable[str]]]
"""Some headings, each with the pieces of a text."""


class View(Protocol):
    """What shows a chat."""

    def note(self, text: str) -> None:
        """Tell something beside the conversation."""

    def fail(self, error: PasctlError) -> None:
        """Tell what went wrong, when the chat goes on."""

    def answer(self, pieces: Iterable[str]) -> None:
        """Show an answer while it is written."""

    def compare(self, texts: Texts) -> None:
        """Show several answers while they are written."""

    def turn(self, turn: Turn, told: dict[str, Any]) -> None:
        """An answer has been shown; `told` is what else is known about it."""


class Plain:
    """Answers as they come, each with a blank line behind it; nothing in them that a terminal would obey."""

    def __init__(self) -> None:
        self._out = sys.stdout

    def note(self, text: str) -> None:
        """Print on stderr."""
        print(clean_lines(text), file=sys.stderr, flush=True)

    def fail(self, error: PasctlError) -> None:
        """Print on stderr."""
        self.note(f"error: {error.message}")
        if error.hint:
            self.note(f"hint: {error.hint}")

    def answer(self, pieces: Iterable[str]) -> None:
        """Write pieces as they come."""
        try:
            for piece in pieces:
                self._out.write(without_controls(piece))
                self._out.flush()
        finally:
            self._out.write("\n\n")
            self._out.flush()

    def compare(self, texts: Texts) -> None:
        """Write one below the other; those below are written in the meantime."""
        for heading, pieces in texts:
            self._out.write(f"[{clean(heading)}]\n")
            self.answer(pieces)

    def turn(self, turn: Turn, told: dict[str, Any]) -> None:
        """It has been shown."""


class Screen(Plain):
    """The same on a terminal: dim notes, two columns where there is room."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print dimly."""
        from rich.text import Text

        self._console.print(Text(clean_lines(text), style="dim"))

    def compare(self, texts: Texts) -> None:
        """Side by side if the terminal is wide enough."""
        width = column_width(shutil.get_terminal_size().columns)
        if width is None or len(texts) != 2:
            super().compare(texts)
            return
        columns = Columns(self._out, width)
        for side, (heading, _) in enumerate(texts):
            columns.add(side, f"[{clean(heading)}]\n")
        try:
            for side, piece in together([pieces for _, pieces in texts]):
                columns.add(side, without_controls(piece).replace("\t", "    "))
        finally:
            columns.finish()
            self._out.write("\n")
            self._out.flush()


class Json(Plain):
    """One object a message on stdout."""

    def answer(self, pieces: Iterable[str]) -> None:
        """Wait for it."""
        for _ in pieces:
            pass

    def compare(self, texts: Texts) -> None:
        """Wait for them."""
        for _, pieces in texts:
            self.answer(pieces)

    def turn(self, turn: Turn, told: dict[str, Any]) -> None:
        """Print it."""
        document = turn.to_json()
        user, answer = document.pop("user"), document.pop("answer")
        for each in ({"role": "user", "text": user}, {"role": "assistant", "text": answer, **document, **told}):
            print(json_line(each), file=self._out, flush=True)


def together(texts: Sequence[Iterable[str]]) -> Iterable[tuple[int, str]]:
    """Pieces of several texts in the order in which they come.

    Raises:
        Exception: what one of the texts raised.
    """
    found: SimpleQueue[tuple[int, str | None, BaseException | None]] = SimpleQueue()

    def listen(side: int, pieces: Iterable[str]) -> None:
        try:
            for piece in pieces:
                found.put((side, piece, None))
        except BaseException as error:  # raised again where it is waited for
            found.put((side, None, error))
        else:
            found.put((side, None, None))

    for side, pieces in enumerate(texts):
        threading.Thread(target=listen, args=(side, pieces), daemon=True).start()
    left = len(texts)
    while left:
        side, piece, error = found.get()
        if error is not None:
            raise error
        if piece is None:
            left -= 1
        else:
            yield side, piece
