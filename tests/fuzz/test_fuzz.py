"""Mutants of every reader's files, and random command lines: see `tests.fuzz`. `make fuzz` does more of the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.command_lines import wrong
from tests.fuzz.mutate import mutants
from tests.fuzz.reader import CORPUS
from tests.fuzz.readers import READERS
from tests.fuzz.run import fuzz

PER_READER = int(os.environ.get("PASCTL_FUZZ_READERS", "2000"))
COMMANDS = int(os.environ.get("PASCTL_FUZZ_COMMANDS", "500"))


def run(*words: object, seconds: float = 1200) -> str:
    command = [sys.executable, "-m", "tests.fuzz", *map(str, words)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=root, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.integration
def test_no_mutant_of_a_file_gives_a_traceback() -> None:
    counts = run("readers", "--count", PER_READER, "--seed", 18)
    assert (
        f"{sum(len(reader.seeds()) + reader.mutants(PER_READER) for reader in READERS.values()):,}"
        in counts.splitlines()[-1]
    )


@pytest.mark.integration
def test_no_command_line_gives_a_traceback() -> None:
    counts = run("commands", "--count", COMMANDS, "--seed", 18)
    assert len(set(re.findall(r"with (\d+)", counts))) >= 3  # some are refused, some miss something, some are done


def test_every_corpus_has_a_reader_and_every_reader_a_corpus() -> None:
    assert {reader.corpus for reader in READERS.values()} == {path.name for path in CORPUS.iterdir()}
    assert [name for name, reader in READERS.items() if not reader.seeds()] == []


@pytest.mark.parametrize("name", READERS)
def test_every_reader_reads_a_seed(name: str, tmp_path: Path) -> None:
    """One that refuses all would refuse their mutants for the same reason, and never look at what is changed."""
    tally = fuzz(name, READERS[name], count=0, seed=0, folder=tmp_path, keep=tmp_path / "keep", seconds=0)
    assert tally.read > 0
    assert not tally.faults


def test_mutants_are_the_same_for_the_same_seed_and_differ_from_their_seeds() -> None:
    seeds = READERS["model config"].seeds()
    first, second, other = (list(mutants(seeds, Random(seed), 200)) for seed in (1, 1, 2))
    assert first == second != other
    assert sum(each in seeds for each in first) < 20


@pytest.mark.parametrize(
    ("code", "err"),
    [
        (1, "Traceback (most recent call last):\nValueError: x\n"),
        (1, "error: internal error: KeyError: 'x'\n"),
        (2, "error: \x1b[31mred\n"),
        (2, ""),
        (2, "error: one\nerror: two\n"),
        (7, "error: one\n"),
        (0, "error: one\n"),
    ],
)
def test_what_is_wrong_is_seen(code: int, err: str) -> None:
    assert wrong(code, "", err) is not None
    assert wrong(2, "", "reading\nerror: one\nhint: two\n") is None
