"""How a command fails: every exception becomes one line, a hint and an exit code. Imports nothing that could fail."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator

from pasctl.errors import InputError, MissingError, PasctlError, StoreError
from pasctl.printable import clean, clean_lines

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_AGAIN = "partial results are saved; run the same command to resume"
_TOO_MANY = {errno.EMFILE, errno.ENFILE}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_MACHINE = {*_TOO_MANY, *_FULL, errno.ENOMEM, errno.EIO}  # what libraries hide below errors of their own
_NO_MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory")
_REPORT = "this is a fault of pasctl: set PASCTL_DEBUG=1 to see where, and open an issue with that and the command"


@contextlib.contextmanager
def failures_told(
    leave: Callable[[int], BaseException], passing: tuple[type[BaseException], ...] = ()
) -> Iterator[None]:
    """Tell what the block raises on stderr, and leave with the exit code for it.

    Args:
        leave: makes the exception to leave with.
        passing: exceptions that pass; SystemExit always does.
    """
    passed: tuple[type[BaseException], ...] = (SystemExit, GeneratorExit, *passing)
    try:
        yield
    except passed:
        raise
    except BaseException as error:  # KeyboardInterrupt, and the panics of libraries in Rust
        raise leave(tell_failure(error)) from error


def tell_failure(error: BaseException) -> int:
    """Print an exception as one line and a hint, with PASCTL_DEBUG=1 its traceback before; the exit code."""
    if isinstance(error, KeyboardInterrupt):
        _print(f"interrupted: {_AGAIN}")
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return EXIT_BROKEN_PIPE
    if isinstance(error, OSError):
        _drop_stdout(only_if_broken=True)
    failure = explained(error)
    if os.environ.get("PASCTL_DEBUG") == "1":
        _print(clean_lines("".join(traceback.format_exception(error))).rstrip("\n"))
    _print(f"error: {failure.message}")
    if failure.hint:
        _print(f"hint: {failure.hint}")
    return failure.exit_code


def explained(error: BaseException) -> PasctlError:
    """What an exception means to the user; an internal error if nothing is known of it."""
    if isinstance(error, PasctlError):
        return error
    cause = _cause(error)
    words = f"{type(cause).__name__}: {cause}".partition("\n")[0]
    if isinstance(cause, OSError):
        return _of_system(cause)
    if isinstance(cause, MemoryError) or any(each in str(cause).lower() for each in _NO_MEMORY):
        return PasctlError(
            f"out of memory: {clean(str(cause), 200) or 'an allocation failed'}",
            hint=f"give --batch-tokens or --max-memory a smaller value, or take a smaller input or model; {_AGAIN}",
        )
    if isinstance(cause, RecursionError):
        return PasctlError(f"a file or an option is nested too deeply: {cause}", hint=_REPORT)
    if isinstance(cause, UnicodeError):
        return InputError(f"a text cannot be read or written: {cause}", hint="expected text in UTF-8")
    if isinstance(cause, ValueError) and "null byte" in str(cause):
        return InputError("a file name has a zero byte in it, expected a name without one")
    return PasctlError(f"internal error: {words}", hint=_REPORT)


def _cause(error: BaseException) -> BaseException:
    """The error itself, or what failed below it on the machine's part: no memory, no room, too many open files."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno in _OF_MACHINE):
            return link
        if isinstance(link, ImportError) and os.strerror(errno.EMFILE) in str(link):
            return OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        link = link.__cause__ or link.__context__
    return error


def _of_system(error: OSError) -> PasctlError:
    """A failure of the system in its own words, with the file if it is about one."""
    why = error.strerror or str(error).partition("\n")[0] or type(error).__name__
    said = f"{_name(error)}: {why}" if _name(error) else why
    if error.errno in _TOO_MANY:
        return PasctlError(said, hint=f"raise the limit, for example with `ulimit -n 4096`; {_AGAIN}")
    if error.errno in _FULL:
        return StoreError(f"disk full: {said}", hint=f"free some space; {_AGAIN}")
    if error.errno == errno.EIO:
        return StoreError(f"disk error: {said}", hint="is the disk or the network share still there?")
    if error.errno == errno.ENOENT:
        return MissingError(said)
    if error.errno in (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EINVAL):
        return InputError(said)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PasctlError(said, hint="look at the permissions of that file and of its folder")
    return PasctlError(f"the system refused: {said}")


def _name(error: OSError) -> str:
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    return " and ".join(clean(os.fsdecode(name), 200) for name in names)


def _print(line: str) -> None:
    """A line on stderr, if there is one that takes it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(line, file=sys.stderr, flush=True)


def _drop_stdout(*, only_if_broken: bool = False) -> None:
    """Let what is still buffered go nowhere, so that it does not fail again when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if only_if_broken:
            try:
                sys.stdout.flush()
            except OSError:
                pass
            else:
                return
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
