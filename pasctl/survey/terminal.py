"""Keys, one at a time from a terminal, or one a line from anything else."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import signal
from collections.abc import Iterator
from typing import Any, BinaryIO

KEYS = {
    **dict.fromkeys(("b", "\x7f", "\x08", "\x1b[D", "\x1bOD"), "back"),  # backspace and left
    **dict.fromkeys(("", "\r", "\n", "\x1b[C", "\x1bOC"), "forward"),  # Enter and right
    "s": "skip",
    "q": "quit",
    "\x04": "quit",  # Ctrl-D
}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)", re.DOTALL)
_REST_SECONDS = 0.05  # how long the rest of a key's escape sequence may take to come
_ENDING = ("SIGTERM", "SIGHUP")


class NoSingleKeys(Exception):
    """This terminal cannot give keys one at a time; the message says why."""


def meaning(key: str) -> str:
    """What a key asks for: "back", "forward", "skip", "quit"; any other key is itself."""
    return KEYS.get(key.lower() if len(key) == 1 else key, key)


class LineKeys:
    """Keys from a stream of lines; at its end, "quit"."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self) -> str:
        """The next line as a key."""
        line = self._stream.readline()
        return meaning(line.decode("utf-8", "replace").strip()) if line else "quit"


class SingleKeys:
    """Keys from a terminal that hands them out at once, see `single_keys`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def read(self, seconds: float) -> str | None:
        """The next key, None when there is none within these seconds, "quit" when the terminal has gone."""
        if not self._pending:
            if not self._ready(seconds):
                return None
            if not self._take():
                return "quit"
        found = _SEQUENCE.match(self._pending)
        while found is None and self._pending.startswith("\x1b") and self._ready(_REST_SECONDS) and self._take():
            found = _SEQUENCE.match(self._pending)
        key = found[0] if found else self._pending[:1]
        self._pending = self._pending[len(key) :]
        return meaning(key) if key else None

    def _ready(self, seconds: float) -> bool:
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def _take(self) -> bool:
        """Read what is there; False when nothing will come any more."""
        try:
            data = os.read(self._descriptor, 256)
        except OSError:  # EIO: the terminal was closed
            return False
        self._pending += self._decoder.decode(data)
        return bool(data)


@contextlib.contextmanager
def single_keys(descriptor: int) -> Iterator[SingleKeys]:
    """A terminal without echo that hands out each key as it is pressed; it is as it was when the block ends.

    Ctrl-C still interrupts. Ctrl-Z does not stop the process, which would leave the shell such a terminal, and what
    ends it (SIGTERM, SIGHUP) ends the block first.

    Raises:
        NoSingleKeys: the system or the terminal has no such mode.
    """
    try:
        import termios
        import tty
    except ImportError as error:  # Windows
        raise NoSingleKeys("this system has no termios") from error
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error as error:
        raise NoSingleKeys(str(error.args[-1])) from error
    handlers: dict[str, Any] = {}
    try:
        handlers = {name: signal.signal(getattr(signal, name), _end) for name in _ENDING}
        try:
            tty.setcbreak(descriptor)
            mode = termios.tcgetattr(descriptor)
            mode[6][termios.VSUSP] = bytes([os.fpathconf(descriptor, "PC_VDISABLE") & 0xFF])
            termios.tcsetattr(descriptor, termios.TCSANOW, mode)
        except termios.error as error:
            raise NoSingleKeys(str(error.args[-1])) from error
        yield SingleKeys(descriptor)
    finally:
        with contextlib.suppress(termios.error):  # it may be gone
            # and what was typed too much does not go to the shell
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        for name, handler in handlers.items():
            signal.signal(getattr(signal, name), handler)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
