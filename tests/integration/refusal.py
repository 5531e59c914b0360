"""What every refusal has in common."""

from __future__ import annotations

from typing import Protocol

NOTES = ("reading ", "loading ", "waiting for ")  # what a stage says before it fails


class Ended(Protocol):
    """A process that has ended."""

    @property
    def returncode(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


def assert_refused(done: Ended, code: int, *names: str) -> str:
    """The process ended with `code`, one error line that holds all `names`, at most one hint, and nothing on stdout.

    Returns the error line.
    """
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if not line.startswith(NOTES)]
    assert [line.split(" ")[0] for line in told] in (["error:"], ["error:", "hint:"]), done.stderr
    missing = [name for name in names if name not in told[0]]
    assert not missing, f"{told[0]!r} does not name {missing}"
    return told[0]
