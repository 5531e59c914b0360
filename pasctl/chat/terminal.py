"""Lines from somebody at a keyboard, with history, editing and completion; or from a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pasctl.errors import InputError
from pasctl.text_file import expand_home

HISTORY_LINES = 1000
_MORE = ". "  # the prompt of a line that goes on
_ENDS = "\r\n"

Completions = Callable[[str], Sequence[str]]


class Lines(Protocol):
    """Gives what a user says, line by line."""

    def read(self, prompt: str) -> str | None:
        """The next line; None at the end."""


def whole_line(lines: Lines, prompt: str) -> str | None:
    """The next line, with those behind it that it goes on in: it ends in a backslash then. None at the end."""
    line = lines.read(prompt)
    while line is not None and line.rstrip(_ENDS).endswith("\\"):
        more = lines.read(_MORE)
        line = f"{line.rstrip(_ENDS)[:-1]}\n{more or ''}"
    return line


class Piped:
    """Lines of a stream that nobody types into: no prompt."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._number = stream, 0

    def read(self, prompt: str) -> str | None:
        """The next line.

        Raises:
            InputError: it is not UTF-8.
        """
        line = self._stream.readline()
        if not line:
            return None
        self._number += 1
        try:
            return line.decode("utf-8-sig" if self._number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"line {self._number} of stdin is not UTF-8: byte {error.start} is 0x{line[error.start]:02x}",
                hint="convert it, for example with `iconv -f latin1 -t utf-8`",
            ) from error


class Keyboard:
    """Lines that are typed: edited, completed and remembered with readline, where there is one."""

    def __init__(self, completions: Completions, history: Path | None) -> None:
        """Prepare the keyboard.

        Args:
            completions: gives what a line up to the cursor could become.
            history: the file of lines of earlier sessions; None keeps none.
        """
        self._history = history
        # input() edits with readline only where it can draw, which is on stdout
        self._editor = _editor(completions) if sys.stdout.isatty() else None
        if self._editor is not None and history is not None:
            with contextlib.suppress(OSError):  # no history yet, or none that can be read
                self._editor.read_history_file(history)
            self._editor.set_history_length(HISTORY_LINES)

    def read(self, prompt: str) -> str | None:
        """Ask for a line."""
        if self._editor is None:
            print(prompt, end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            return line or None
        try:
            line = input(prompt)
        except EOFError:
            print(file=sys.stderr)
            return None
        except KeyboardInterrupt:
            print(file=sys.stderr)  # the line that was begun stays above
            raise
        self._keep()
        return line

    def _keep(self) -> None:
        """Put the history on disk, readable by its owner alone; a chat does not end because that fails."""
        if self._editor is None or self._history is None:
            return
        with contextlib.suppress(OSError):
            self._history.parent.mkdir(parents=True, exist_ok=True)
            self._history.touch(mode=0o600)
            self._editor.write_history_file(self._history)


def history_file() -> Path:
    """Where lines are kept between sessions."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else expand_home("~/.local/state")) / "pasctl" / "chat_history"


def _editor(completions: Completions) -> Any:
    """The module readline, ready to complete whole lines; None where Python has none."""
    try:
        import readline
    except ImportError:  # Windows
        return None

    def complete(text: str, state: int) -> str | None:
        found = completions(readline.get_line_buffer()[: readline.get_endidx()])
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims("")  # the whole line is completed, not its last word
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    return readline
