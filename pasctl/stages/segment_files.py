"""The files of a memory's keys and values: checked by their bytes where that is quick, else by their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pasctl.errors import IntegrityError
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact

SEGMENTS = "segments/"
"""What the names of the segments of a text begin with."""
CHECKED_BYTES = 1 << 26  # so much is hashed in a tenth of a second; a question reads less of a long text


def segment_files(memory: Artifact, names: Sequence[str] | None = None, reporter: Reporter | None = None) -> list[Path]:
    """Files of a memory, in the order of their names; None takes all segments of its text.

    Raises:
        IntegrityError: one is missing or damaged.
    """
    wanted = memory.files(SEGMENTS) if names is None else names
    sizes = {entry["name"]: int(entry["size"]) for entry in memory.manifest["files"]}
    if sum(sizes[name] for name in wanted) <= CHECKED_BYTES:
        return [memory.open_path(name) for name in wanted]
    if reporter is not None:
        reporter.note("of the segments only the sizes are checked; `pasctl store verify --deep` reads every byte")
    return [_sized(memory, name, sizes[name]) for name in wanted]


def _sized(memory: Artifact, name: str, expected: int) -> Path:
    path = memory.path / name
    size = path.stat().st_size if path.is_file() else None
    if size != expected:
        state = "is missing" if size is None else f"has {size:,} bytes"
        raise IntegrityError(
            f"{memory.name}: {name} {state}, expected {expected:,} bytes",
            hint="see what else is damaged with `pasctl store verify --deep`",
        )
    return path
