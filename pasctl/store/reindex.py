"""The index made again from the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.store.artifact import Artifact
from pasctl.store.refs import Name, Refs
from pasctl.store.registration import is_present, withdraw

if TYPE_CHECKING:
    from pasctl.store.index import Index


@dataclass(frozen=True)
class Counts:
    """What a reindex found; `broken` are object folders whose manifest cannot be read."""

    artifacts: int
    names: int
    tags: int
    broken: int


def reindex(
    refs: Refs, index: Index, readable: Callable[[], Iterable[Artifact]], folders: Callable[[], Iterable[Path]]
) -> Counts:
    """Rebuilds the index from the disk, and gives a version to artifacts that were killed before they got one."""
    assigned = [artifact for artifact in readable() if artifact.version is None]
    for artifact in sorted(assigned, key=lambda artifact: artifact.created_at):
        refs.assign(Name.of(artifact), artifact.key)
    index.rebuild()
    for artifact in assigned:
        if not is_present(artifact):  # another process removed it meanwhile
            withdraw(refs, index, artifact)
    count = sum(1 for _ in readable())
    return Counts(
        artifacts=count,
        names=sum(1 for _ in refs.names()),
        tags=len(refs.tags()),
        broken=sum(1 for _ in folders()) - count,
    )
