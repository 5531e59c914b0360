"""The file that a conversation is saved to: JSON, or Markdown to read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from pasctl.chat.session import Turn
from pasctl.errors import InputError
from pasctl.store.disk import replace_file
from pasctl.text_file import expand_home
from pasctl.version import __version__

_FORMATS = (".json", ".md")


class Transcripts:
    """Writes transcripts of one session, and overwrites nothing else."""

    def __init__(self, model: str) -> None:
        """`model` is the model's name."""
        self._model = model
        self._written: dict[Path, str] = {}

    def save(self, system: str | None, turns: Sequence[Turn], path: Path) -> None:
        """Write all turns, whole and durably.

        Args:
            system: the system text.
            turns: all of them, those of earlier sessions too.
            path: ends in .json or .md.

        Raises:
            InputError: another ending, a place that cannot be written to, or a file that this session did not write.
        """
        if path.suffix.lower() not in _FORMATS:
            raise InputError(
                f"{path}: a transcript ends in {' or '.join(_FORMATS)}, found {path.suffix or 'no ending'}"
            )
        write = _as_json if path.suffix.lower() == ".json" else _as_markdown
        data = write(self._model, system, turns).encode()
        try:
            place = Path(os.path.realpath(expand_home(path)))
            self._require(place, path)
            replace_file(place, data)
        except OSError as error:
            raise InputError(
                f"{path} cannot be written: {error.strerror or error}", hint="give another place"
            ) from error
        self._written[place] = _digest(data)

    def _require(self, place: Path, given: Path) -> None:
        """Refuse a place that nothing can be written to, or that has a file of somebody else."""
        if place.is_dir() or not place.parent.is_dir():
            raise InputError(
                f"{given} cannot be written: {'it' if place.is_dir() else place.parent} is no place for it"
            )
        if place.exists() and self._written.get(place) != _digest(place.read_bytes()):
            raise InputError(
                f"{given} exists and is no transcript of this session, so it stays as it is", hint="give another name"
            )


def _as_json(model: str, system: str | None, turns: Sequence[Turn]) -> str:
    document = {
        "pasctl": __version__,
        "model": model,
        "system": system,
        "turns": [turn.to_json() for turn in turns],
    }
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _as_markdown(model: str, system: str | None, turns: Sequence[Turn]) -> str:
    parts = [f"# A conversation with {model}"]
    if system:
        parts.append(f"System text: {system}")
    for turn in turns:
        parts += [f"**You:** {turn.user}", f"**{_who(turn)}:** {turn.answer}"]
    return "\n\n".join(parts) + "\n"


def _who(turn: Turn) -> str:
    told = [turn.who] if turn.persona else []
    told += [f"memory {turn.memory}"] if turn.memory else []
    told += [f"seed {turn.seed}, temperature {turn.temperature:g}"] if turn.temperature else []
    return f"{turn.model} ({', '.join(told)})" if told else turn.model


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
