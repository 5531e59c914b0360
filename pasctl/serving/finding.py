"""Artifacts by what a request calls them."""

from __future__ import annotations

from pasctl.errors import MissingError
from pasctl.serving.kept import Kept
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store

_REFS = 1024  # how many are kept


class Finder:
    """Finds artifacts of one kind that the model served has made."""

    def __init__(self, store: Store, model: ModelHandle, kind: str) -> None:
        self.store, self.model, self._kind = store, model, kind
        self._versions: Kept[Artifact] = Kept(_REFS)

    def find(self, ref: str) -> Artifact:
        """The artifact of a reference; `latest` is the model's, and one with a version is looked up only once.

        Raises:
            MissingError: there is none.
            InputError: several match, or it is of another kind or another model.
        """
        if ref == "latest":
            return self._latest()
        look = self.store.resolve
        found = self._versions.get(ref, lambda: look(ref, self._kind)) if "@v" in ref else look(ref, self._kind)
        self.model.require(found.document["model"], found.name)
        return found

    def _latest(self) -> Artifact:
        for artifact in self.store.candidates(self._kind):
            if artifact.document["model"] == self.model.identity:
                return artifact
        raise MissingError(f"the store holds no {self._kind} of {self.model.slug}")
