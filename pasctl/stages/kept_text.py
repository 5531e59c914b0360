"""Tokens, surprise and events of a stored memory, without its keys and values; loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from pasctl.errors import IntegrityError
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_runs import has_runs

if TYPE_CHECKING:
    from pasctl.memory.frames import Memory
    from pasctl.memory.stored_text import KeptText

CHECKED_BYTES = 1 << 30  # of segments; so much is hashed in a second or two
_SEGMENTS = "segments/"  # stored_memory.SEGMENTS, whose module brings torch with it


def kept_text(memory: Artifact, reporter: Reporter) -> KeptText:
    """Token ids, surprise and events.

    Raises:
        IntegrityError: a file is damaged.
    """
    from pasctl.memory.stored_text import read_text

    if has_runs(memory):
        return cast("Memory", memory).runs_text()
    files = _segments(memory, reporter)
    text, expected = read_text(files), memory.read_json("memory.json")["tokens"]
    if len(text.ids) != expected:
        raise IntegrityError(
            f"the segments of {memory.name} end in {files[-1].name if files else 'none'} "
            f"after {len(text.ids):,} tokens, expected {expected:,}"
        )
    return text


def _segments(memory: Artifact, reporter: Reporter) -> list[Path]:
    """The segments' files, checked byte for byte, or, where that would take long, by their sizes.

    Raises:
        IntegrityError: one is missing or damaged.
    """
    sizes = {entry["name"]: int(entry["size"]) for entry in memory.manifest["files"]}
    names = memory.files(_SEGMENTS)
    if sum(sizes[name] for name in names) <= CHECKED_BYTES:
        return [memory.open_path(name) for name in names]
    reporter.note("of the segments only the sizes are checked; `pasctl store verify --deep` reads every byte")
    for name in names:
        path = memory.path / name
        size = path.stat().st_size if path.is_file() else None
        if size != sizes[name]:
            state = "is missing" if size is None else f"has {size:,} bytes"
            raise IntegrityError(
                f"{memory.name}: {name} {state}, expected {sizes[name]:,} bytes",
                hint="see what else is damaged with `pasctl store verify --deep`",
            )
    return [memory.path / name for name in names]
