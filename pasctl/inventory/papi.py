"""The PAPI reader: IPIP-NEO-300 answers in the file layout of the PAlign repository.

PAPI stores keyed scores: the answers to items keyed -1 are already reversed. The published code reads them as
agreements. Here they become agreements, after the correlations have shown that they are keyed (see coding.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pasctl import json_file
from pasctl.bounded import BoundsError, run_bounded
from pasctl.errors import InputError, MissingError
from pasctl.inventory.coding import report_of, require_clear, unkeyed
from pasctl.inventory.item import Item, Split
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.proof import Evidence, reads_keyed
from pasctl.inventory.usual import USUAL_TRAITS

ITEM_KEY = "IPIP-NEO-ItemKey.xls"
SPLIT = "mpi_300_split.json"
TEST_SET = "Test-set.json"
PAPI_FILES = (ITEM_KEY, SPLIT, TEST_SET)
LAYOUT = f"a PAPI folder holds {ITEM_KEY}, {SPLIT} and {TEST_SET}, as the folder PAPI of the PAlign repository does"
LABELS = (
    "Very Accurate",
    "Moderately Accurate",
    "Neither Accurate Nor Inaccurate",
    "Moderately Inaccurate",
    "Very Inaccurate",
)
_SHEET_ROWS = Path(__file__).with_name("sheet_rows.py")
_MOST_BYTES = 1 << 31  # a test set may have a million respondents
CODINGS = ("auto", "keyed", "agreement", "as-published")

_SIGN = re.compile(r"([+-])([A-Z])\d")


def papi_inventory(folder: Path | str) -> Inventory:
    """The inventory "papi": items `i1`, `i2`, ... in the order of Full#, split as PAlign splits them."""
    folder = Path(folder)
    split = _read_split(folder)
    path = find_file(folder, ITEM_KEY)
    rows = _key_rows(path)
    expected = set(range(1, len(rows) + 1))
    if set(rows) != expected:
        raise InputError(
            f"{path}: Full# counts 1..{len(rows)}, found also {listing(sorted(map(str, set(rows) - expected)))}"
        )
    without = sorted(expected ^ set(split))
    if without:
        raise InputError(
            f"{folder}: {SPLIT} and {ITEM_KEY} are about different items: {listing([f'i{n}' for n in without])}",
        )
    items = []
    for number in sorted(rows):
        sign, facet, text = rows[number]
        found = _SIGN.fullmatch(sign)
        if found is None:
            raise InputError(f"{path}: the Sign of item {number} is like +N1, found {sign!r}")
        key = 1 if found[1] == "+" else -1
        items.append(Item(f"i{number}", text, trait=found[2], facet=facet, key=key, split=split[number]))
    return Inventory(name="papi", items=tuple(items), labels=LABELS, known_traits=USUAL_TRAITS)


def papi_personas(folder: Path | str, coding: str = "auto", note: Note = silent) -> PersonaSet:
    """All respondents of the test set as agreements, named by their case number.

    Args:
        folder: Where the three files are.
        coding: How to read the stored values. "auto" proves it from the correlations and refuses what is not clear;
            "keyed" and "agreement" are for what is not, and "keyed" is refused for what are clearly agreements;
            "as-published" leaves keyed scores as they are and marks the set.
        note: Is told what cannot be proven, and what looks odd.

    Raises:
        InputError: the coding is not clear, a part of the file has another one, or an answer is not a whole number
            0..5.
        MissingError: a file is missing.
    """
    if coding not in CODINGS:
        raise InputError(f"coding is one of {', '.join(CODINGS)}, found {coding!r}")
    inventory = papi_inventory(folder)
    ids, stored = stored_answers(folder, inventory)
    if coding == "as-published":
        return PersonaSet(label="papi", ids=ids, agreements=stored, coding=coding)
    evidence = Evidence.of(stored)
    if coding == "auto":
        report = report_of(evidence.total, inventory)
        require_clear(report, str(folder))
        coding = "keyed" if report.found == "keyed" else "auto"
    if reads_keyed(evidence, inventory, coding, str(folder), note):
        stored = unkeyed(stored, inventory)
    return PersonaSet(label="papi", ids=ids, agreements=stored)


def stored_answers(folder: Path | str, inventory: Inventory) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Persona ids, and the values [P, I] as the test set stores them, NaN where it has 0."""
    return _read_answers(find_file(Path(folder), TEST_SET), inventory)


def find_file(folder: Path, name: str) -> Path:
    """The file in the folder, or at most two folders below it: a checkout of PAlign and a hub snapshot work too."""
    if not folder.is_dir():
        raise MissingError(f"PAPI folder {folder} does not exist", hint=LAYOUT)
    found: list[Path] = []
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(folder.glob(pattern))
        if found:
            break
    if not found:
        raise MissingError(f"{name} is missing in {folder}", hint=LAYOUT)
    if len(found) > 1:
        raise InputError(
            f"{name} is in {folder} more than once: {listing([str(p) for p in found])}", hint="name one folder"
        )
    return found[0]


def _key_rows(path: Path) -> dict[int, tuple[str, str, str]]:
    """Full# -> (Sign, Facet, Item) of the first sheet."""
    header, *body = _sheet(path)
    columns = ("Full#", "Sign", "Facet", "Item")
    absent = [name for name in columns if name not in header]
    if absent:
        raise InputError(f"{path}: columns {', '.join(columns)} are expected, missing {', '.join(absent)}")
    at = [header.index(name) for name in columns]
    rows: dict[int, tuple[str, str, str]] = {}
    for row in body:
        number, sign, facet, text = (row[i] for i in at)
        if number == "":
            continue  # a note below the table
        if type(number) not in (int, float) or not math.isfinite(number) or number % 1 or number in rows:
            raise InputError(f"{path}: Full# is a whole number that occurs once, found {number!r}")
        rows[int(number)] = (str(sign).strip(), str(facet).strip(), str(text).strip())
    return rows


def _sheet(path: Path) -> list[list[Any]]:
    """The rows of the first sheet, read in a process of its own: the reader may crash or take all memory."""
    if not path.is_file():
        raise MissingError(f"{path} is missing", hint=LAYOUT)
    try:
        rows = json_file.parse_json(run_bounded(_SHEET_ROWS, str(path)), constants=True)
    except (BoundsError, ValueError) as error:
        raise InputError(f"{path}: not a readable spreadsheet: {error}") from error
    if not rows:
        raise InputError(f"{path}: its first sheet is empty")
    return cast("list[list[Any]]", rows)


def _read_split(folder: Path) -> dict[int, Split]:
    """Full# -> split. PAlign fits on `train_index` and reports on `test_index`."""
    path = find_file(folder, SPLIT)
    document = read_json(path)
    split: dict[int, Split] = {}
    names: tuple[tuple[str, Split], ...] = (("train_index", "fit"), ("test_index", "report"))
    for name, value in names:
        numbers = document.get(name) if isinstance(document, dict) else None
        if not isinstance(numbers, list) or not all(type(n) is int for n in numbers):
            raise InputError(f"{path}: lists of item numbers train_index and test_index are expected, {name} is none")
        twice = sorted({n for n in numbers if n in split or numbers.count(n) > 1})
        if twice:
            raise InputError(
                f"{path}: each item stands once in one list, found twice: {listing([f'i{n}' for n in twice])}"
            )
        split.update(dict.fromkeys(numbers, value))
    return split


def _read_answers(path: Path, inventory: Inventory) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    document = read_json(path)
    if not isinstance(document, list) or not document:
        raise InputError(f"{path}: a list of respondents is expected, found {type(document).__name__}")
    for row, respondent in enumerate(document):
        if not isinstance(respondent, dict) or "case" not in respondent:
            raise InputError(f"{path}: respondent {row} is no object with a case number")
    ids = respondent_ids(document)
    values = np.empty((len(document), len(inventory)))
    for row, (respondent, case) in enumerate(zip(document, ids, strict=True)):
        for column, item in enumerate(inventory.items):
            value = respondent.get(item.id)
            if type(value) is not int or not 0 <= value <= 5:
                raise InputError(
                    f"{path}: case {case}, item {item.id}: 1..5 or 0 for missing is expected, found {value!r}"
                )
            values[row, column] = value or np.nan
    return ids, values


def respondent_ids(respondents: list[dict[str, Any]]) -> tuple[str, ...]:
    """The case number of each; one that comes back is another row of answers, so its rows are told apart: 7, 7#2."""
    ids: list[str] = []
    times: Counter[str] = Counter()
    for respondent in respondents:
        case = str(respondent["case"])
        times[case] += 1
        ids.append(case if times[case] == 1 else f"{case}#{times[case]}")
    return tuple(ids)


def read_json(path: Path) -> Any:
    """The file's content.

    Raises:
        InputError: it is not readable as JSON.
    """
    try:
        return json_file.read_json(path, most_bytes=_MOST_BYTES)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not readable as JSON: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
