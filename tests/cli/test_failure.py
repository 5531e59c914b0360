"""Whatever a command raises ends in one line, at most one hint and an exit code; our own faults say what they are."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pasctl.cli.failure import explained, failures_told
from pasctl.errors import BusyError, IntegrityError, PasctlError

EVERY_ERRNO = sorted(errno.errorcode)


def fail(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit code and lines on stderr of a command that raises an error."""
    with pytest.raises(SystemExit) as left, failures_told(SystemExit):
        raise error
    return int(str(left.value.code)), capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("number", EVERY_ERRNO, ids=errno.errorcode.get)
def test_an_error_of_the_system_is_one_line_with_the_file(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = fail(OSError(number, os.strerror(number), "some\nfile"), capsys)
    if number in (errno.EPIPE, errno.ESHUTDOWN):
        assert (code, lines) == (141, [])
        return
    assert code in (1, 2, 3)
    assert [line.split(" ")[0] for line in lines] in (["error:"], ["error:", "hint:"])
    assert "some\\nfile" in lines[0]
    assert os.strerror(number) in lines[0]
    assert "internal" not in lines[0]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "x.json"), 3, "x.json"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), 2, "too long"),
        (OSError(errno.EMFILE, "Too many open files"), 1, "Too many open files"),
        (OSError("words of a library\nand more"), 1, "words of a library"),
        (MemoryError(), 1, "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 2 bytes"),
            1,
            "out of memory",
        ),
        (RecursionError("maximum recursion depth exceeded"), 1, "too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, "utf-8"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), 2, "utf-8"),
        (ValueError("embedded null byte"), 2, "zero byte"),
        (IntegrityError("damaged \x1b[31m"), 4, r"damaged \x1b[31m"),
        (BusyError("busy"), 5, "busy"),
        (KeyError("x"), 1, "internal error: KeyError: 'x'"),
        (AssertionError(), 1, "internal error: AssertionError"),
        (type("PanicException", (BaseException,), {})("index out of bounds"), 1, "PanicException"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_exit_code_says_what_kind_of_failure_it_is(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, lines = fail(error, capsys)
    assert found == code
    assert words in lines[0]
    assert len(lines) <= 2


def test_what_failed_below_another_error_is_told() -> None:
    def hidden(cause: BaseException) -> PasctlError:
        try:
            try:
                raise cause
            except BaseException as inner:
                raise RuntimeError("failed to import transformers.models because of the following error") from inner
        except RuntimeError as error:
            return explained(error)

    assert "Too many open files" in hidden(OSError(errno.EMFILE, "Too many open files")).message
    assert "Too many open files" in hidden(ImportError("libx.so: cannot open: Too many open files")).message
    assert "out of memory" in hidden(MemoryError()).message
    assert "internal error" in hidden(KeyError("x")).message


def test_interrupting_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = fail(KeyboardInterrupt(), capsys)
    assert code == 130
    assert lines == ["interrupted: partial results are saved; run the same command to resume"]


def test_debugging_shows_the_traceback_before_the_same_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASCTL_DEBUG", "1")
    _, lines = fail(KeyError("x\x1b[31m"), capsys)
    assert lines[0].startswith("Traceback")
    assert lines[-2].startswith("error: internal error: KeyError")
    assert "\x1b" not in "".join(lines)


def test_a_closed_stderr_changes_no_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with pytest.raises(SystemExit) as left, failures_told(SystemExit):
        raise IntegrityError("damaged")
    assert left.value.code == 4


PasctlRun = Callable[..., subprocess.CompletedProcess[str]]


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    lines = done.stderr.splitlines()
    assert done.returncode == code, done.stderr
    assert [line.split(" ")[0] for line in lines] in (["error:"], ["error:", "hint:"]), done.stderr
    assert all(word in lines[0] for word in words), done.stderr


@pytest.mark.parametrize("files", [12, 20, 40])
def test_too_few_open_files_is_one_line_wherever_it_fails(run_pasctl: PasctlRun, files: int) -> None:
    """The limit is reached while Python imports, and later."""
    done = run_pasctl("store", "ls", before=("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"))
    if done.returncode:
        assert_one_line(done, done.returncode, "Too many open files")


def test_a_full_disk_below_stdout_is_one_line(run_pasctl: PasctlRun) -> None:
    done = run_pasctl("doctor", "--json", before=("sh", "-c", 'exec "$@" >/dev/full', "sh"))
    assert_one_line(done, 1, "No space left on device")


def test_words_that_are_not_understood_are_refused_like_everything_else(run_pasctl: PasctlRun) -> None:
    assert_one_line(run_pasctl("store", "ls", "--no-such-option"), 2, "--no-such-option")
    assert_one_line(run_pasctl("extrac"), 2, "extrac", "extract")
    assert_one_line(run_pasctl("store", "show"), 2, "REF")
    assert_one_line(run_pasctl("eval", "--x\x1b[31m"), 2, r"\x1b[31m")


def test_letters_that_a_terminal_does_not_know_are_written_out(run_pasctl: PasctlRun, tmp_path: Path) -> None:
    done = run_pasctl("store", "ls", store=tmp_path / "日本", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert "\\u65e5" in done.stderr
