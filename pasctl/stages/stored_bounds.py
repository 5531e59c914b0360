"""Which files and characters the tokens of a stored memory are from; of older memories, as the tokens are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import IntegrityError
from pasctl.memory.text_bounds import FACTS, TEXT_BOUNDS, TextBounds, from_table
from pasctl.stages.stored_runs import has_runs, run_bounds

if TYPE_CHECKING:
    from pasctl.memory.sources import MemoryTexts
    from pasctl.stages.runner import Artifact


def stored_bounds(memory: Artifact) -> list[TextBounds]:
    """Bounds of a memory's texts; none if it does not have them.

    Raises:
        IntegrityError: the file is damaged.
    """
    if has_runs(memory):
        return run_bounds(memory)
    if TEXT_BOUNDS not in memory.files():
        return []
    try:
        return from_table(memory.read_table(TEXT_BOUNDS), memory.provenance.get(FACTS) or ())
    except ValueError as error:
        raise IntegrityError(f"{memory.name}: {TEXT_BOUNDS} is no table of bounds: {error}") from error


def stored_texts(
    memory: Artifact, tokenizer: Any, ids: Sequence[int], starts: Sequence[int], opening: int
) -> MemoryTexts:
    """The words of a memory's events, and the files that they are from.

    Args:
        memory: the memory.
        tokenizer: of its tokens.
        ids: its tokens.
        starts: first token of each event.
        opening: tokens that the chat template wrote before the text.
    """
    from pasctl.memory.sources import MemoryTexts

    return MemoryTexts(tokenizer, ids, starts, stored_bounds(memory), opening=opening, name=_only_file(memory))


def _only_file(memory: Artifact) -> str | None:
    """The name of the file that was read, if it was one."""
    names = memory.provenance.get("texts") or []
    return Path(names[0]).name if len(names) == 1 and "memory" not in memory.inputs else None
