"""The turns of a conversation that no artifact holds yet, in a file beside the store: what a killed session leaves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasctl.chat.session import Turn
from pasctl.errors import IntegrityError
from pasctl.json_file import read_json
from pasctl.store.disk import disk_errors, replace_file

_VERSION = 1
_KINDS = {"model": dict, "dtype": str, "params": dict, "before": int}


@dataclass(frozen=True)
class Entry:
    """What a journal says.

    Attributes:
        model: identity of the model.
        dtype: that it was run in.
        params: of the memory.
        system: the system text.
        before: turns of the conversation that stand before these, in an artifact.
        turns: the turns behind them.
    """

    model: dict[str, Any]
    dtype: str
    params: dict[str, Any]
    system: str | None
    before: int
    turns: tuple[Turn, ...]

    def behind(self, kept: Sequence[Turn], path: Path) -> tuple[Turn, ...]:
        """The turns that `kept`, those of the latest artifact, does not hold yet.

        A session may have been killed between keeping its turns and saying so here.

        Raises:
            IntegrityError: the artifact's turns are others.
        """
        overlap = len(kept) - self.before
        if overlap < 0 or tuple(kept[self.before :]) != self.turns[:overlap]:
            raise IntegrityError(
                f"{path} goes on behind turn {self.before}, and the conversation in the store has {len(kept)} others",
                hint="move the file away to go on from the store without its turns",
            )
        return self.turns[overlap:]


class Journal:
    """The file of one conversation; it is there while turns are only here."""

    def __init__(self, root: Path, model: str, label: str) -> None:
        """`root` is the store's folder, `model` and `label` are parts of the memory's name."""
        self.path = root / "chats" / model / f"{label}.json"

    def read(self) -> Entry | None:
        """What a session has left; None if nothing.

        Raises:
            IntegrityError: the file is no journal.
        """
        try:
            document = read_json(self.path)
            turns = tuple(Turn.from_json(turn) for turn in document.pop("turns"))
            if document.pop("version") != _VERSION:
                raise ValueError("another version of pasctl wrote it")
            if not all(isinstance(document[name], kind) for name, kind in _KINDS.items()):
                raise TypeError("a field has another type")
            return Entry(**document, turns=turns)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"{self.path} is no journal of a conversation: {type(error).__name__}: {error}",
                hint="move it away to go on without the turns in it",
            ) from error

    def write(self, entry: Entry) -> None:
        """Replace the file, durably; without turns there is none.

        Raises:
            StoreError: it cannot be written.
        """
        if not entry.turns:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            return
        document = {**vars(entry), "version": _VERSION, "turns": [turn.to_json() for turn in entry.turns]}
        with disk_errors(self.path):
            replace_file(self.path, json.dumps(document, ensure_ascii=False, allow_nan=False).encode())
