"""Runs every reader on mutants: it reads them, or refuses them with an error of pasctl's in one clean line."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

from pasctl.errors import MOST_CHARACTERS, PasctlError
from pasctl.printable import is_hidden
from pasctl.store.payload import FormatError
from tests.fuzz.mutate import mutants
from tests.fuzz.reader import Reader
from tests.fuzz.readers import READERS

SECONDS = 5.0
"""Of this process that one file may take: on a busy machine time passes without it."""
MEMORY = 1 << 30
"""Bytes that reading may add to the process."""


class TooSlow(BaseException):
    """A reader took longer than `SECONDS`; no reader can take it for an error of its own."""


@dataclass
class Tally:
    """What came of a reader's mutants; `faults` has a line for each kind, with the mutant that shows it."""

    mutants: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.mutants:>8,} {self.read:>8,} {self.refused:>8,} {sum(self.faults.values()):>7,} "
            f"{self.seconds:>8.1f} {self.slowest:>8.3f}"
        )


HEAD = f"{'reader':<20}{'mutants':>8} {'read':>8} {'refused':>8} {'faults':>7} {'seconds':>8} {'slowest':>8}"


def fuzz(
    name: str, reader: Reader, *, count: int, seed: int, folder: Path, keep: Path, seconds: float = SECONDS
) -> Tally:
    """Read `count` mutants of a reader's seeds, and the seeds themselves.

    Args:
        name: of the reader.
        reader: the reader.
        count: mutants, of which a slow reader is given a share.
        seed: of the random numbers.
        folder: empty; mutants are written here.
        keep: mutants that show a fault are kept here.
        seconds: that one file may take; 0 is no bound.
    """
    tally, seeds = Tally(), reader.seeds()
    if not seeds:
        raise ValueError(f"{name} has no seeds")
    place = folder / reader.place
    place.parent.mkdir(parents=True, exist_ok=True)
    reader.prepare(folder)
    began = time.monotonic()
    for data in (*seeds, *mutants(seeds, Random(f"{name} {seed}"), reader.mutants(count))):
        place.write_bytes(data)
        start = time.monotonic()
        fault = _fault(reader, folder, tally, seconds)
        tally.slowest = max(tally.slowest, time.monotonic() - start)
        tally.mutants += 1
        if fault is not None:
            if fault not in tally.faults:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(place, keep / f"{name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:12]}")
            tally.faults[fault] += 1
    tally.seconds = time.monotonic() - began
    return tally


def _fault(reader: Reader, folder: Path, tally: Tally, seconds: float) -> str | None:
    """What is wrong with how a file was read or refused, and with how long that took; None if nothing is."""
    before = _seconds_of_processes()
    fault = _outcome(reader, folder, tally, seconds)
    if fault is None and seconds and (used := _seconds_of_processes() - before) > 2 * seconds:
        return f"its processes take {used:.0f} s"
    return fault


def _outcome(reader: Reader, folder: Path, tally: Tally, seconds: float) -> str | None:
    try:
        with _alarm(seconds):
            reader.read(folder)
    except (PasctlError, FormatError) as error:
        tally.refused += 1
        return wrong_message(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever it is, it is a fault: panics of Rust are no Exception
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/pasctl/" in frame.filename]
        where = f"{frames[-1].filename.rpartition('/pasctl/')[2]}:{frames[-1].lineno}" if frames else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:100]!r}"
    tally.read += 1
    return None


def wrong_message(error: Exception) -> str | None:
    """Whether the words of an error are no single, clean line of bounded length."""
    if not isinstance(error, PasctlError):
        return None
    for words in (error.message, error.hint or ""):
        if any(map(is_hidden, words)) or len(words) > MOST_CHARACTERS:
            return f"a message with control characters or too long: {words[:100]!r}"
    return None


def _seconds_of_processes() -> float:
    """What the processes that have ended have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_slow(*_: object) -> NoReturn:
    raise TooSlow(f"more than {SECONDS:g} s")


def run(folder: Path, *, count: int, seed: int, only: str = "", keep: Path = Path("build/fuzz")) -> int:
    """Fuzz the readers, print their counts, and give the number of faults."""
    os.environ["PASCTL_CACHE"] = str(folder / "cache")
    signal.signal(signal.SIGPROF, _too_slow)
    chosen = {name: reader for name, reader in READERS.items() if only in name}
    for number, (name, reader) in enumerate(chosen.items()):  # what is imported and reserved once counts as nothing
        fuzz(name, reader, count=0, seed=0, folder=folder / f"seeds-{number}", keep=keep, seconds=0)
    _limit_memory()
    print(HEAD, flush=True)
    total = Tally()
    for number, (name, reader) in enumerate(chosen.items()):
        tally = fuzz(name, reader, count=count, seed=seed, folder=folder / str(number), keep=keep)
        print(f"{name:<20}{tally}", flush=True)
        for fault, times in tally.faults.most_common():
            print(f"    {times} x {fault}", flush=True)
        for what in ("mutants", "read", "refused", "seconds", "faults"):
            setattr(total, what, getattr(total, what) + getattr(tally, what))
        total.slowest = max(total.slowest, tally.slowest)
    print(f"{'all':<20}{total}", flush=True)
    return sum(total.faults.values())


def _limit_memory() -> None:
    size = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmSize" in line)
    resource.setrlimit(resource.RLIMIT_AS, (int(size) * 1024 + MEMORY, resource.RLIM_INFINITY))
