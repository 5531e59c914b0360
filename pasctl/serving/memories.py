"""Memories that requests are answered from: each is opened once and shared, and only read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.proof import prove_memory
from pasctl.stages.artifact_resolver import ArtifactResolver
from pasctl.stages.lru_cache import LRUCache
from pasctl.stages.memory import open_memory
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store

_OPEN = 8  # how many are kept


@dataclass(frozen=True, eq=False)
class Opened:
    """A memory, its artifact's name, and the persona and alpha that it was read with, if it was."""

    name: str
    memory: EpisodicMemory
    steering: Mapping[str, Any]


class Memories:
    """Opens memories by what a request calls them; used by one thread at a time."""

    def __init__(self, store: Store, model: ModelHandle, memories: Sequence[str]) -> None:
        """Open the memories that are served, so that what is wrong with one is told at once.

        Raises:
            MissingError: there is no such memory.
            InputError: it is of another model, or was read in another dtype.
            IntegrityError: it is damaged.
        """
        self._resolver = ArtifactResolver(store, model, "memory")
        prove_memory(model.load())  # now, since a memory may be opened while the model runs
        self._kept: LRUCache[Opened] = LRUCache(max(_OPEN, len(memories)))
        self.names = [self.find(ref).name for ref in memories]

    def find(self, ref: str) -> Opened:
        """The memory of a reference; those not used for long are closed when many others are opened.

        Raises:
            MissingError: there is no such memory.
            InputError: it is of another model, or was read in another dtype.
            IntegrityError: it is damaged.
        """
        artifact = self._resolver.find(ref)
        return self._kept.get(artifact.key, lambda: self._open(artifact))

    def _open(self, artifact: Artifact) -> Opened:
        memory = open_memory(artifact, self._resolver.model, store=self._resolver.store)
        recorded = artifact.params.get("steering")
        # of a memory that was saved in Python only the displacement's digest is known, and of a conversation nothing
        steering = {name: recorded[name] for name in ("persona", "alpha")} if isinstance(recorded, dict) else {}
        return Opened(artifact.name, memory, steering)
