"""Keys from lines, from a pipe, and from a real pseudo-terminal, which is left as it was."""

from __future__ import annotations

import io
import os
import pty
import signal
import termios
from collections.abc import Iterator

import pytest

from pasctl.survey.terminal import LineKeys, NoSingleKeys, SingleKeys, single_keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a pseudo-terminal: the user's and the program's."""
    user, program = pty.openpty()
    yield user, program
    os.close(user)
    os.close(program)


def keys_of(data: bytes) -> list[str]:
    """The keys in these bytes, read until they are over."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        source = SingleKeys(reading)
        found = []
        while (key := source.read(1.0)) != "quit":
            assert key is not None
            found.append(key)
        return found
    finally:
        os.close(reading)


def test_keys_and_escape_sequences_become_what_they_ask_for() -> None:
    assert keys_of(b"15bB\x7f\x08") == ["1", "5", "back", "back", "back", "back"]
    assert keys_of(b"\x1b[D\x1bOD\x1b[C\x1bOC\r\n") == ["back", "back", "forward", "forward", "forward", "forward"]
    assert keys_of(b"sSx") == ["skip", "skip", "x"]
    assert keys_of(b"\x1b[A\x1b[1;5D\x1b[3~2") == ["\x1b[A", "\x1b[1;5D", "\x1b[3~", "2"]
    assert keys_of("é€".encode()) == ["é", "€"]


def test_quit_is_a_key_and_the_end_of_input() -> None:
    assert keys_of(b"1q2") == ["1"]
    assert keys_of(b"1\x04") == ["1"]
    assert keys_of(b"") == []


def test_a_sequence_may_be_cut_by_a_read_and_escape_alone_is_a_key() -> None:
    assert keys_of(b"1" * 255 + b"\x1b[D") == ["1"] * 255 + ["back"]
    assert keys_of(b"1" * 256 + b"\x1b") == ["1"] * 256 + ["\x1b"]


def test_no_key_within_the_time_is_none() -> None:
    reading, writing = os.pipe()
    assert SingleKeys(reading).read(0.01) is None
    os.close(reading)
    os.close(writing)


def test_lines_are_keys_or_words_and_their_end_leaves() -> None:
    keys = LineKeys(io.BytesIO(b"5\n b \r\nskip\n\n\xff\n12\n3"))
    assert [keys.read() for _ in range(8)] == ["5", "back", "skip", "forward", "�", "12", "3", "quit"]


def test_single_keys_come_at_once_and_the_terminal_is_as_before(terminal: tuple[int, int]) -> None:
    user, program = terminal
    before = termios.tcgetattr(program)
    handler = signal.getsignal(signal.SIGTERM)
    with single_keys(program) as keys:
        local = termios.tcgetattr(program)[3]
        assert not local & (termios.ECHO | termios.ICANON)
        assert local & termios.ISIG
        os.write(user, b"4")
        assert keys.read(5.0) == "4"
    assert termios.tcgetattr(program) == before
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_whatever_happens_the_terminal_is_as_before(terminal: tuple[int, int], error: type[BaseException]) -> None:
    before = termios.tcgetattr(terminal[1])
    with pytest.raises(error), single_keys(terminal[1]):
        raise error
    assert termios.tcgetattr(terminal[1]) == before


def test_a_signal_that_ends_the_process_ends_the_block_first(terminal: tuple[int, int]) -> None:
    before = termios.tcgetattr(terminal[1])
    with pytest.raises(SystemExit) as caught, single_keys(terminal[1]):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert termios.tcgetattr(terminal[1]) == before


def test_what_is_no_terminal_is_refused() -> None:
    reading, writing = os.pipe()
    with pytest.raises(NoSingleKeys, match=r"\w"), single_keys(reading):
        pass
    os.close(reading)
    os.close(writing)
