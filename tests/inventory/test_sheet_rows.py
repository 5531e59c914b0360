"""The item key's spreadsheet is read in a process with limits: whatever its reader does is one line."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from pasctl import bounded
from pasctl.bounded import Bounds, BoundsError, run_bounded
from pasctl.errors import InputError
from pasctl.inventory import papi
from tests.inventory.papi_files import write_xlsx

HEADER: list[object] = ["Full#", "Sign", "Facet", "Item"]


def rows(path: Path) -> dict[int, tuple[str, str, str]]:
    return papi._key_rows(path)


def test_rows_are_as_they_stand_in_the_sheet(tmp_path):
    write_xlsx(tmp_path / "key.xls", [HEADER, [2, "+N1", "fear", "Ün <i>quiet</i>"], [1, "-O2", "art", "like"]])
    assert rows(tmp_path / "key.xls") == {2: ("+N1", "fear", "Ün <i>quiet</i>"), 1: ("-O2", "art", "like")}


@pytest.mark.parametrize(
    "script",
    [
        "import os; os.abort()",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "bytearray(8 << 30)",
        "while True: pass",
        "raise BaseException('a panic\\nin two lines')",
        "import sys; sys.exit('why')",
        "print('[')",
        "print('[]')",
    ],
)
def test_every_end_of_the_reader_is_one_line(tmp_path, monkeypatch, script):
    """Each kind of end that mutated files brought calamine to, and some more."""
    (tmp_path / "reader.py").write_text(script)
    (tmp_path / "key.xls").write_bytes(b"x")
    monkeypatch.setattr(papi, "_SHEET_ROWS", tmp_path / "reader.py")
    monkeypatch.setattr(bounded, "Bounds", lambda: Bounds(seconds=1))
    with pytest.raises(InputError, match=r"key\.xls: (not a readable spreadsheet|its first sheet is empty)") as caught:
        rows(tmp_path / "key.xls")
    assert "\n" not in caught.value.message


def test_damaged_spreadsheets_are_one_line(tmp_path):
    """A few mutants of a whole file; thousands are tried by `make fuzz`."""
    write_xlsx(tmp_path / "key.xls", [HEADER, *([n, "+N1", "fear", "quiet"] for n in range(1, 30))])
    whole, chance = (tmp_path / "key.xls").read_bytes(), random.Random(7)
    for _ in range(6):
        data = bytearray(whole)
        for _ in range(8):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / "key.xls").write_bytes(data[: chance.randrange(100, len(data))])
        with pytest.raises(InputError, match=r"key\.xls"):
            rows(tmp_path / "key.xls")


@pytest.mark.parametrize("number", ["1e999", "1.5", "true", '"x"', "null"])
def test_a_number_that_counts_nothing_is_told(tmp_path, monkeypatch, number):
    number = {"1e999": "float('inf')", "true": "True", "null": "None"}.get(number, number)
    (tmp_path / "reader.py").write_text(f"import json; print(json.dumps([{HEADER}, [{number}, '+N1', 'a', 'b']]))")
    (tmp_path / "key.xls").write_bytes(b"x")
    monkeypatch.setattr(papi, "_SHEET_ROWS", tmp_path / "reader.py")
    with pytest.raises(InputError, match="Full# is a whole number"):
        rows(tmp_path / "key.xls")


def test_a_script_runs_without_the_folder_it_is_started_from(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the current folder was run')")
    (tmp_path / "script.py").write_text("import json, sys; print(json.dumps([sys.argv[1:], sys.stdin.read()]))")
    monkeypatch.chdir(tmp_path)
    assert run_bounded(tmp_path / "script.py", "a b", given=b"c") == b'[["a b"], "c"]\n'


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs resource limits that the system keeps")
def test_time_and_memory_are_bounded(tmp_path):
    (tmp_path / "s.py").write_text("while True: pass")
    with pytest.raises(BoundsError, match=r"more than [13] seconds"):
        run_bounded(tmp_path / "s.py", bounds=Bounds(seconds=1))
    (tmp_path / "s.py").write_text("bytearray(300 << 20)")
    run_bounded(tmp_path / "s.py")
    with pytest.raises(BoundsError, match="256 MiB"):
        run_bounded(tmp_path / "s.py", bounds=Bounds(memory=256 << 20))
