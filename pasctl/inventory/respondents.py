"""Respondents that a file names: read, proven, and selected; `--personas FILE[:where=...][:SELECT]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.answers import answers_of
from pasctl.inventory.items import IntArray, Inventory
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.persona_file import PersonaFile, of_rows, proven_source, read_persona_file
from pasctl.inventory.persona_source import PersonaSource, is_plain
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.proof import as_agreements
from pasctl.inventory.selection import Part, selected_rows
from pasctl.inventory.tables.file_spec import FileSpec, split_file
from pasctl.inventory.tables.large import LARGE, LargeTable, read_large
from pasctl.inventory.tables.read import TableAnswers
from pasctl.inventory.tables.reading import TableReading
from pasctl.inventory.tables.table_map import NO_MAP, TableMap, read_map
from pasctl.inventory.tables.where import rows_where

MapLike = TableMap | Path | str | None
"""What a user says about a table: a map, the file that has it, or nothing."""


def file_personas(
    file: FileSpec, inventory: Inventory, coding: str, said: TableMap, note: Note
) -> PersonaSet | PersonaFile:
    """The respondents that a file names, as agreements. The coding is proven on the whole file, not on a selection.

    Args:
        file: The file and the selection.
        inventory: What was answered.
        coding: "auto", "keyed" or "agreement".
        said: What the user says about the file.
        note: Is told what was guessed and what cannot be proven.

    Raises:
        InputError: a file that cannot be understood, a selection that matches nothing, or answers coded in another way.
        MissingError: there is no such file, or a package that reads it is not installed.
    """
    coding = coding_of(said, coding, file.spec)
    if file.path.suffix.lower() == ".parquet" and said == NO_MAP and not file.where and is_plain(file.path, inventory):
        return read_persona_file(file.path, file.parts, file.spec, inventory, coding, note)
    if _is_large(file.path):
        large = read_large(file.path, inventory, said, file.where)
        if large is not None:
            return _of_large(large, file, inventory, coding, note)
    answers = answers_of(file.path, inventory, note, said)
    personas = as_agreements(answers.personas, inventory, coding, str(file.path), note)
    if not file.where and not file.parts:
        return personas
    return personas.subset(_selected(file, answers, file.parts))


def _is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > LARGE.get(path.suffix.lower(), math.inf)


def _of_large(
    large: LargeTable, file: FileSpec, inventory: Inventory, coding: str, note: Note
) -> PersonaSet | PersonaFile:
    for line in large.reading.lines():
        note(line)
    if not len(large.rows):
        raise _nobody(file, large.reading.respondents)
    try:
        source = proven_source(large.path, inventory, coding, note, str(file.path))
        # Names of all rows are read only where a respondent is selected by name.
        names = partial(_names_of, source, large.rows)
        return of_rows(source, large.rows[selected_rows(file.parts, file.spec, len(large.rows), names)])
    except InputError as error:
        message = error.message.replace(str(large.path), str(file.path))
        raise InputError(message, hint=error.hint) from error


def _names_of(source: PersonaSource, rows: IntArray) -> list[str]:
    wanted = set(rows.tolist())
    return [name for row, name in enumerate(source.ids()) if row in wanted]


def _nobody(file: FileSpec, count: int) -> InputError:
    return InputError(
        f"personas {file.spec!r}: nobody of {count} respondents is like that",
        hint="leave where=... out to see in a note which columns there are",
    )


def names_file(spec: str) -> bool:
    """Whether some words name a file of answers."""
    return split_file(spec) is not None


def reading_of_file(spec: str, inventory: Inventory, map_file: MapLike = None) -> TableReading:
    """What is understood of a file of answers, column by column; what is selected of it makes no difference.

    Args:
        spec: `FILE`, with or without a selection.
        inventory: What was answered.
        map_file: What the user says about the file.

    Raises:
        InputError: `spec` names no file of answers, or what of the file cannot be understood.
        MissingError: there is no such file, or a package that reads it is not installed.
    """
    file = split_file(spec)
    if file is None:
        raise InputError(f"personas {spec!r}: a file of answers is expected", hint="such as people.csv or people.sav")
    said = map_like(map_file, inventory)
    if _is_large(file.path) and (large := read_large(file.path, inventory, said, ())) is not None:
        return large.reading
    return answers_of(file.path, inventory, silent, said).reading


def map_like(given: MapLike, inventory: Inventory) -> TableMap:
    """The map that is given, read where it is a file's name."""
    if given is None:
        return NO_MAP
    return given if isinstance(given, TableMap) else read_map(given, inventory)


def coding_of(said: TableMap, coding: str, spec: str) -> str:
    """How the answers are coded, where the map says it.

    Raises:
        InputError: the option says something else.
    """
    if not said.keyed:
        return coding
    if coding not in ("auto", "keyed"):
        raise InputError(
            f"personas {spec!r}: the map says keyed: true, --coding says {coding}", hint="leave one of them out"
        )
    return "keyed"


def _selected(file: FileSpec, answers: TableAnswers, parts: Sequence[Part]) -> list[int]:
    personas = answers.personas
    rows = np.arange(len(personas))
    if file.where:
        answered = np.isfinite(personas.agreements).sum(axis=1).tolist()
        rows = rows[rows_where(file.where, answers.attributes, answered, str(file.path))]
        if not len(rows):
            raise _nobody(file, len(personas))
    names = [personas.ids[row] for row in rows]
    chosen: list[int] = rows[selected_rows(parts, file.spec, len(rows), lambda: names)].tolist()
    return chosen
