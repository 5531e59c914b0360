"""Parts: what an artifact holds that another one can take over, such as the shard of one persona."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pasctl.store.artifact import Artifact

if TYPE_CHECKING:
    from pasctl.store.index import Index, Row


def find_parts(
    index: Index, load: Callable[[Row], Artifact | None], part_keys: Iterable[str], reader: str
) -> dict[str, Artifact]:
    """For each part that some artifact holds, the newest such artifact.

    Args:
        index: of the store.
        load: gives the artifact of a row, None if it is not on disk.
        part_keys: the parts.
        reader: key of the work that will read them, which holds its lease: nobody removes them until it has ended. ""
            where there is no such work.
    """
    parts: dict[str, Artifact] = {}
    loaded: dict[str, Artifact | None] = {}
    for part, rows in index.holders(part_keys).items():
        for row in rows:
            if row.key not in loaded:
                loaded[row.key] = load(row)
            artifact = loaded[row.key]
            if artifact is not None:
                parts[part] = artifact
                break
    if not reader or not parts:
        return parts
    from pasctl.store.uses import note

    gone = set(note(index, reader, parts.values()))
    return {part: artifact for part, artifact in parts.items() if artifact not in gone}
