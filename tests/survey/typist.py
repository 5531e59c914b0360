"""Somebody who types at a pseudo-terminal in which pasctl runs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 60.0
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
RUN = ("-m", "pasctl")


class Typist:
    """pasctl with a controlling terminal as stdin and stderr, and stdout in a file or the terminal.

    The program's end of the terminal stays open here, so that its modes can be looked at when the program has ended.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        env: Mapping[str, str],
        folder: Path,
        *,
        columns: int = 80,
        stdout: Path | None = None,
        run: tuple[str, ...] = RUN,
    ) -> None:
        self._user, self._program = pty.openpty()
        self.resize(columns)
        self.modes = termios.tcgetattr(self._program)
        self.text = ""
        self._mark = 0
        out = stdout.open("wb") if stdout else None
        self._process = subprocess.Popen(
            [sys.executable, *run, *map(str, arguments)],
            stdin=self._program,
            stderr=self._program,
            stdout=out or self._program,
            # the size is the terminal's own: a test runner may have set these
            env={name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
            | {"TERM": "xterm-256color"},
            cwd=folder,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        if out:
            out.close()

    def __enter__(self) -> Typist:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._user)
        os.close(self._program)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def plain(self) -> str:
        """What was shown, without control sequences."""
        return _CONTROL.sub("", self.text).replace("\r\n", "\n")

    def modes_now(self) -> list[Any]:
        return termios.tcgetattr(self._program)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._program, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._user, keys.encode())

    def see(self, *words: str) -> str:
        """Wait until these words have come, in this order and behind those seen before; gives what came till then."""
        began = self._mark
        for word in words:
            until = time.monotonic() + SECONDS
            while (found := self.plain.find(word, self._mark)) < 0:
                self._take(0.05)
                if (self._process.poll() is not None and not self._take(0.0)) or time.monotonic() > until:
                    assert word in self.plain[self._mark :], f"{word!r} has not come:\n{self.plain[began:]}"
            self._mark = found + len(word)
        return self.plain[began : self._mark]

    def end(self) -> int:
        """Wait until the program has ended; gives its exit code, minus the signal that killed it."""
        until = time.monotonic() + SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < until, f"still runs:\n{self.plain}"
            self._take(0.05)
        while self._take(0.0):
            pass
        return self._process.returncode

    def _take(self, seconds: float) -> bool:
        if not select.select([self._user], [], [], seconds)[0]:
            return False
        self.text += os.read(self._user, 65536).decode("utf-8", "replace")
        return True
