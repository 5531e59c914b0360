"""Who a request may be steered to: directions are read once, and displacements made once and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pasctl.errors import InputError
from pasctl.stages.artifact_resolver import ArtifactResolver as Finder
from pasctl.stages.choose_alpha import default_positions, latest_alphas
from pasctl.stages.lru_cache import LRUCache as Kept
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.steering import DirectionSet
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.steering.intervention import Intervention

_DIRECTIONS, _STEERED = 16, 256  # how many are kept
_CASE = "case="


@dataclass(frozen=True, eq=False)
class Steered:
    """A persona as a request meets it.

    Attributes:
        name: the directions' name and the persona's id, as a request may write it.
        alpha: strength.
        intervention: the displacement.
        positions: where it is in force, as the directions were selected.
    """

    name: str
    alpha: float
    intervention: Intervention
    positions: str


@dataclass(frozen=True, eq=False)
class _Cast:
    """The personas of one artifact: the row of each, and the strength that was chosen for it, if it was."""

    artifact: Artifact
    rows: dict[str, int]
    positions: str
    alphas: Sequence[float] | None


class Personas:
    """Finds personas by what a request calls them; used by one thread at a time."""

    def __init__(self, store: Store, model: ModelHandle, directions: Sequence[str], alpha: float | None) -> None:
        """Read the directions that are served.

        Args:
            store: where directions are.
            model: the loaded model.
            directions: references; personas of these can be named by their id alone.
            alpha: strength where a request names none; None takes what `choose-alpha` chose for the persona, else 1.

        Raises:
            MissingError: there are no such directions.
            InputError: they are of another model.
        """
        self._finder, self._model, self._alpha = Finder(store, model, "directions"), model, alpha
        self._casts: Kept[_Cast] = Kept(_DIRECTIONS + len(directions))
        self._known: Kept[DirectionSet] = Kept(_STEERED)
        self._steered: Kept[Steered] = Kept(_STEERED)
        self._served = [self._cast(ref) for ref in directions]

    @property
    def total(self) -> int:
        """How many personas are served by their id alone."""
        return len(set().union(*(cast.rows for cast in self._served)))

    def ids(self, most: int) -> list[str]:
        """The first of them."""
        return list(islice(self._ids(), most))

    def find(self, persona: str, alpha: float | None) -> Steered:
        """The persona that a request means: an id, or REF:ID or REF:case=ID.

        Raises:
            MissingError: there are no such directions.
            InputError: no such persona, directions of another model, or several personas and none named.
        """
        cast, named = self._place(persona)
        row = cast.rows[named]
        if alpha is None:
            alpha = self._alpha
        if alpha is None:
            alpha = 1.0 if cast.alphas is None else cast.alphas[row]
        strength = alpha
        return self._steered.get((cast.artifact.key, row, alpha), lambda: self._make(cast, named, strength))

    def _ids(self) -> Iterator[str]:
        seen: set[str] = set()
        for cast in self._served:
            for each in cast.rows:
                if each not in seen:
                    seen.add(each)
                    yield each

    def _place(self, persona: str) -> tuple[_Cast, str]:
        own = persona.removeprefix(_CASE)
        for cast in self._served:
            if own in cast.rows:
                return cast, own
        ref, named, wanted = _split(persona)
        if not named and self._served and "/" not in persona:
            raise InputError(f"no persona of {self.total} is called {persona!r}; the first: {', '.join(self.ids(5))}")
        cast = self._cast(ref)
        if named and wanted in cast.rows:
            return cast, wanted
        if not named and len(cast.rows) == 1:
            return cast, next(iter(cast.rows))
        some = ", ".join(islice(cast.rows, 5))
        if not named:
            raise InputError(f"{cast.artifact.name} has {len(cast.rows)} personas, name one as {ref}:case=ID: {some}")
        raise InputError(f"{cast.artifact.name} has no persona {wanted!r}, it has {some}")

    def _cast(self, ref: str) -> _Cast:
        artifact = self._finder.find(ref)
        return self._casts.get(artifact.key, lambda: self._read(artifact))

    def _read(self, artifact: Artifact) -> _Cast:
        rows = {each: row for row, each in enumerate(StoredPersonas.of(artifact).ids())}
        positions = default_positions(artifact)
        return _Cast(artifact, rows, positions, self._chosen(artifact, positions))

    def _chosen(self, artifact: Artifact, positions: str) -> list[float] | None:
        """The strength of each persona that was chosen on held-out answers with these directions, the latest."""
        found = latest_alphas(self._finder.store, artifact, positions)
        return None if found is None else [float(each) for each in found[1]]

    def _make(self, cast: _Cast, named: str, alpha: float) -> Steered:
        row = cast.rows[named]
        known = self._known.get(
            (cast.artifact.key, row), lambda: DirectionSet.read(cast.artifact, np.array([row], dtype=np.int64))
        )
        intervention = known.intervention(self._model.geometry(), 0, alpha)
        return Steered(f"{cast.artifact.name}:{_CASE}{named}", alpha, intervention, cast.positions)


def _split(persona: str) -> tuple[str, bool, str]:
    """Reference, whether a persona is named behind it, and the persona; a key begins with `s1:`."""
    start = len("s1:") if persona.startswith("s1:") else 0
    ref, colon, named = persona[start:].partition(":")
    return persona[:start] + ref, bool(colon), named.removeprefix(_CASE)
