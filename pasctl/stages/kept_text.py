"""Tokens, surprise and events of a stored memory, without its keys and values; loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pasctl.errors import IntegrityError
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact
from pasctl.stages.segment_files import segment_files
from pasctl.stages.stored_runs import has_runs

if TYPE_CHECKING:
    from pasctl.memory.frames import Memory
    from pasctl.memory.stored_text import KeptText


def kept_text(memory: Artifact, reporter: Reporter) -> KeptText:
    """Token ids, surprise and events.

    Raises:
        IntegrityError: a file is damaged.
    """
    from pasctl.memory.stored_text import read_text

    if has_runs(memory):
        return cast("Memory", memory).runs_text()
    files = segment_files(memory, reporter=reporter)
    text, expected = read_text(files), memory.read_json("memory.json")["tokens"]
    if len(text.ids) != expected:
        raise IntegrityError(
            f"the segments of {memory.name} end in {files[-1].name if files else 'none'} "
            f"after {len(text.ids):,} tokens, expected {expected:,}"
        )
    return text
