"""The file of answers that a survey fills, and the note beside it.

The file is one that `pasctl.inventory.answers.read_answers` reads: `{item: score}` for a persona that is named as the
file, `{persona: {item: score}}` for others or several. A skipped item is null, and an open one is not mentioned: so
the file alone says where to go on. The note `answers.json.survey` says which inventory was answered, which the file
has no room for; without it the item ids have to do.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasctl.errors import InputError
from pasctl.inventory.answers import read_answers
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.notes import silent
from pasctl.inventory.proof import as_agreements
from pasctl.json_file import read_json
from pasctl.store.disk import replace_file
from pasctl.survey.session import Entries

NOTE_SUFFIX = ".survey"
_NOTE_VERSION = 1


@dataclass(frozen=True)
class Note:
    """Which inventory a file answers: the words that name it, its name, and its digest."""

    inventory: str
    name: str
    digest: str


@dataclass(frozen=True)
class AnswerFile:
    """The answers of one persona in a file, and of the others there.

    Attributes:
        path: The file, which may not exist yet.
        persona: The one that answers.
        personas: Entries of everybody in the file.
    """

    path: Path
    persona: str
    personas: dict[str, Entries]

    @property
    def entries(self) -> Entries:
        """What the persona has settled; nothing if it is new."""
        return self.personas.get(self.persona, {})

    def keep(self, entries: Entries) -> None:
        """Write the file with these entries of the persona, whole and durably.

        Raises:
            InputError: it cannot be written.
        """
        personas = {**self.personas, self.persona: entries}
        named_by_file = list(personas) == [self.path.stem]
        _write(self.path, personas[self.persona] if named_by_file else personas)


def check_place(path: Path) -> None:
    """Refuse a place that no file of answers can be at.

    Raises:
        InputError: another ending than .json, a folder, or a folder that is missing.
    """
    if path.suffix.lower() != ".json":
        raise InputError(
            f"{path}: a survey writes a .json file, found {path.suffix or 'no ending'}", hint="answers.json"
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}", hint="make the folder first")
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected a file of answers", hint="such as answers.json")


def check_name(name: str | None) -> None:
    """Refuse a persona's name that is empty or would not fit a line."""
    if name is not None and (not name.strip() or not name.isprintable()):
        raise InputError(f"--name is a name on one line, found {name!r}")


def read_note(path: Path) -> Note | None:
    """The note beside a file of answers; None without the file or without a note.

    Raises:
        InputError: the note is not one.
    """
    place = note_path(path)
    if not path.exists() or not place.exists():
        return None
    try:
        document = read_json(place)
        return Note(str(document["inventory"]), str(document["name"]), str(document["digest"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{place} is no note of a survey: {type(error).__name__}",
            hint=f"remove it if {path.name} answers the inventory that you give with --inventory",
        ) from error


def write_note(path: Path, note: Note) -> None:
    """Say which inventory is answered. It is written before the first question, so it also shows that one can write.

    Raises:
        InputError: it cannot be written.
    """
    document = {"survey": _NOTE_VERSION, "inventory": note.inventory, "name": note.name, "digest": note.digest}
    _write(note_path(path), document)


def note_path(path: Path) -> Path:
    """Where the note of a file of answers is."""
    return path.with_name(path.name + NOTE_SUFFIX)


def require_same(path: Path, note: Note | None, inventory: Inventory) -> None:
    """Refuse to go on in a file that answers another inventory.

    Raises:
        InputError: the note names another one.
    """
    if note is not None and note.digest != inventory.digest:
        raise InputError(
            f"{path} answers another inventory: {note.name} ({note.inventory}), not {inventory.name} as it is now",
            hint=f"give --inventory {note.inventory}, or another file with -o",
        )


def read_file(path: Path, inventory: Inventory, name: str | None) -> AnswerFile:
    """The file as it is, for the persona `name`, or the only one that it holds.

    Raises:
        InputError: it holds something else, unknown items or bad answers, or several personas and no name says which.
        MissingError: there is no such file.
    """
    # refuses whatever train-probes would: keyed scores of others, too, which the new answers must not stand among
    as_agreements(read_answers(path, inventory), inventory, "auto", str(path), silent)
    document = read_json(path)
    if not isinstance(document, dict):
        raise InputError(
            f"{path}: a list of personas, where a survey writes an object",
            hint="train-probes --personas takes it as it is; give the survey another file with -o",
        )
    nested = any(isinstance(value, dict) for value in document.values())
    given: dict[str, dict[str, Any]] = document if nested else {path.stem: document}
    personas: dict[str, Entries] = {
        persona: {item: None if value in (None, "") else int(value) for item, value in answers.items()}
        for persona, answers in given.items()
    }
    if name is None and len(personas) > 1:
        raise InputError(f"{path} holds several personas: {listing(list(personas))}", hint="say which with --name")
    return AnswerFile(path, next(iter(personas)) if name is None else name, personas)


def new_file(path: Path, name: str | None) -> AnswerFile:
    """A file that does not exist yet, for a persona that is named as the file unless `name` says otherwise."""
    return AnswerFile(path, path.stem if name is None else name, {})


def _write(path: Path, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    try:
        replace_file(Path(os.path.realpath(path)), text.encode())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}", hint="give a place that you can write to with -o"
        ) from error
