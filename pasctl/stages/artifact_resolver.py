"""Artifacts of one kind and one model, by what a user or a request calls them."""

from __future__ import annotations

from pasctl.stages.lru_cache import LRUCache
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store, find_input

_REFS = 1024  # how many are held


class ArtifactResolver:
    """Looks up artifacts of one kind that belong to a model."""

    def __init__(self, store: Store, model: ModelHandle, kind: str) -> None:
        self.store, self.model, self._kind = store, model, kind
        self._versions: LRUCache[Artifact] = LRUCache(_REFS)

    def find(self, ref: str | Artifact | None) -> Artifact:
        """The artifact of a reference; None and `latest` are the model's latest, a name with a version is cached.

        Raises:
            MissingError: there is none.
            InputError: several match, or it is of another kind or another model.
        """
        if isinstance(ref, str) and "@v" in ref:
            artifact = self._versions.get(ref, lambda: self._find(ref))
        else:
            artifact = self._find(None if ref == "latest" else ref)
        self.model.require(artifact.document["model"], artifact.name)
        return artifact

    def _find(self, ref: str | Artifact | None) -> Artifact:
        identity = self.model.identity
        return find_input(
            self.store,
            self._kind,
            ref,
            fits=lambda artifact: bool(artifact.document["model"] == identity),
            wanted=f"of {self.model.source.spec}",
        )
