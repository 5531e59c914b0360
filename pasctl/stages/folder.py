"""The files of a folder that are read into a memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pasctl.errors import InputError
from pasctl.stages.progress import Reporter
from pasctl.stages.text import NoTextError, Text

EVERY_FILE = "**/*"
_NAMED = 3  # files that are left out, in a note


def read_folder(folder: Path, pattern: str | None, reporter: Reporter) -> list[Text]:
    """The texts of a folder's files, by their names within it.

    Hidden files and folders are left out, and links to folders, which may lead in a circle. Files that are empty or
    that are no text are left out too, with a note.

    Args:
        folder: the folder.
        pattern: which files, as `pathlib` has it; None is every file in it and in the folders within.
        reporter: takes the notes.

    Raises:
        InputError: no file matches, or one is not UTF-8.
        MissingError: a file cannot be read, or is a document and the converter is not installed.
    """
    pattern = EVERY_FILE if pattern is None else pattern
    texts, left_out = [], list[str]()
    for name in sorted(_matching(folder, pattern)):
        try:
            text = Text.load(folder / name)
        except NoTextError as error:
            left_out.append(f"{name} ({error.reason})")
        else:
            texts.append(Text(name, text.content, text.modified))
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        reporter.note(f"left out: {', '.join(left_out[:_NAMED])}{more}")
    if not texts:
        raise InputError(
            f"folder {folder} has no text that matches {pattern}, expected at least one",
            hint="say which files with --glob, such as '**/*.md'",
        )
    return texts


def _matching(folder: Path, pattern: str) -> Iterator[str]:
    """Names of files within the folder, with slashes."""
    if not pattern.strip() or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise InputError(f"glob {pattern!r} is no pattern of files within a folder, expected for example **/*.md")
    try:
        paths = list(folder.glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"glob {pattern!r} cannot be used: {error}", hint="such as '**/*.md'") from error
    for path in paths:
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts) and path.is_file():
            yield name.as_posix()
