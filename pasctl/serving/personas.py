"""The personas that a server has, what is known of each, and adding more while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from pasctl.commands.import_vector import ImportVector
from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.inventory import Inventory, PersonaSet
from pasctl.inventory.trait_scores import trait_scores
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.fields import Strict
from pasctl.serving.protocol import parse
from pasctl.stages.granularity import site_of
from pasctl.stages.lru_cache import LRUCache
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import GIVEN, MOST_ADDED, PersonaCatalog
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import CASE
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.text_file import expand_home

LISTED = 1000
"""Personas that a list has at most."""
_NO_PERSONA = "persona_not_found"


class AddRequest(Strict):
    """Body of POST /v1/personas: a reference of directions, or the name of a file of vectors."""

    directions: str | None = Field(default=None, min_length=1, max_length=512, description="reference in the store")
    file: str | None = Field(
        default=None, min_length=1, max_length=512, description="of steering vectors, in the folder of --add-from"
    )
    persona: str | None = Field(
        default=None, min_length=1, max_length=128, description="with a file, what to call who it steers to"
    )


class ServedPersonas:
    """Tells who is served, and takes more in; used by one thread at a time, the one that uses the catalog."""

    def __init__(self, run: Run, model: ModelHandle, catalog: PersonaCatalog, add_from: str | None = None) -> None:
        """Take what is served.

        Args:
            run: where directions are, and are put.
            model: that is served.
            catalog: of the personas.
            add_from: folder of the files of vectors that may be added; None allows none.
        """
        self._run, self._model, self._catalog, self._folder = run, model, catalog, add_from
        self._sources: LRUCache[_Source] = LRUCache(2 * MOST_ADDED)

    def listed(self) -> dict[str, Any]:
        """All personas that can be named by their id alone, of very many the first, and their directions."""
        sources = self._catalog.sources
        ids = self._catalog.ids(LISTED)
        return {
            "object": "list",
            "data": self._cards(ids),
            "directions": [self._directions(source) for source in sources],
            "total": self._catalog.total,
            "listed": len(ids),
        }

    def one(self, name: str) -> dict[str, Any]:
        """What is known of a persona, which may be one of any directions in the store, or a combination.

        Raises:
            APIError: there is none of this name.
        """
        try:
            try:
                target = self._catalog.find(name)
                strength: tuple[float | None, str] = target.alpha, target.why or GIVEN
            except InputError as error:  # perhaps only since no strength was chosen
                target, strength = self._catalog.find(name, 0.0), (None, error.message)
        except PasctlError as error:
            refusal = api_error_of(error)
            missing = refusal.status == 400
            raise APIError(404, refusal.message, "name", _NO_PERSONA) if missing else refusal from error
        source = self._source(target.directions)
        [scores] = source.scores(target.known.personas)
        return self._card(name, target.name, source, strength, target.positions, scores)

    def add(self, body: bytes) -> dict[str, Any]:
        """Take more directions in, and tell what is known of them.

        Raises:
            APIError: they cannot be served, are too many, or no file may be added.
        """
        asked = parse(AddRequest, body)
        if (asked.directions is None) == (asked.file is None):
            raise APIError(400, "expected either directions or a file", "directions")
        if asked.persona is not None and asked.file is None:
            raise APIError(400, "persona goes with a file: directions have names for theirs", "persona")
        if len(self._catalog.added) >= MOST_ADDED:
            raise APIError(409, f"{MOST_ADDED} directions were added, expected fewer: remove some", code="too_many")
        ref = asked.directions or self._imported(asked.file or "", asked.persona or "")
        try:
            return self._directions(self._catalog.add(ref))
        except PasctlError as error:
            raise api_error_of(error, "directions" if asked.directions else "file") from error

    def remove(self, name: str) -> dict[str, Any]:
        """Take directions out that were added, by their name or by that of their only persona.

        Raises:
            APIError: 404, they are not served; 409, they were not added, or have several personas.
        """
        named = [each for each in self._catalog.sources if name in (each.name, each.key)]
        if not named:
            named = [each for each in self._catalog.sources if _has(each, name)]
            if any(len(StoredPersonas.of(each)) > 1 for each in named):
                told = f"{named[0].name} has other personas than {name}, expected the name of the directions"
                raise APIError(409, told, "name", "several_personas")
        if not named:
            raise APIError(404, f"no directions or persona served are called {name!r}", "name", _NO_PERSONA)
        [source, *_] = named
        if source not in self._catalog.added:
            raise APIError(409, f"{source.name} was served from the start, expected one added", "name", "not_added")
        self._catalog.added.remove(source)
        return {"object": "directions.removed", "name": source.name, "removed": True}

    def _imported(self, file: str, persona: str) -> Artifact:
        """The directions that a file of vectors becomes in the store."""
        if self._folder is None:
            raise APIError(403, "files may not be added, expected the server to have --add-from DIR", "file")
        folder = expand_home(self._folder).resolve()
        path = (folder / file).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise APIError(400, f"there is no file {file!r} in the folder of --add-from", "file")
        try:
            outcome = self._run.make(ImportVector(file=str(path), model=self._model, persona=persona))
        except PasctlError as error:
            shown = error.message.replace(str(path), file)  # where the folder is, is not the client's business
            told = InputError(shown) if isinstance(error, InputError | MissingError) else error
            raise api_error_of(told, "file") from error
        artifact: Artifact = outcome.artifact
        return artifact

    def _cards(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """What is known of personas, whose answers are read once per directions."""
        places = [self._catalog.place(each) for each in ids]
        scores: dict[tuple[str, int], list[float]] = {}
        for artifact in dict.fromkeys(artifact for artifact, _ in places):
            rows = [row for of, row in places if of == artifact]
            found = self._source(artifact).scores(StoredPersonas.of(artifact).rows(np.array(rows, dtype=np.int64)))
            scores |= {(artifact.key, row): of_one for row, of_one in zip(rows, found, strict=True)}
        cards = []
        for persona, (artifact, row) in zip(ids, places, strict=True):
            strength, positions = self._catalog.strength(persona), self._catalog.positions(persona)
            name, source = f"{artifact.name}:{CASE}{persona}", self._source(artifact)
            cards.append(self._card(persona, name, source, strength, positions, scores[artifact.key, row]))
        return cards

    def _card(
        self,
        called: str,
        name: str,
        source: _Source,
        strength: tuple[float | None, str],
        positions: str,
        scores: Sequence[float],
    ) -> dict[str, Any]:
        alpha, why = strength
        known = zip(source.inventory.trait_codes, scores, strict=True)
        return {
            "id": called,
            "object": "persona",
            "model": f"{self._model.slug}+{called}",
            "name": name,
            "directions": source.artifact.name,
            "alpha": alpha,
            "alpha_from": why,
            "positions": positions,
            "traits": {code: round(score, 4) for code, score in known if math.isfinite(score)},
        }

    def _directions(self, artifact: Artifact) -> dict[str, Any]:
        inventory = self._source(artifact).inventory
        return {
            "object": "directions",
            "name": artifact.name,
            "key": artifact.key,
            "digest": artifact.content_digest,
            "model": artifact.model,
            "stage": artifact.stage,
            "stage_version": artifact.stage_version,
            "created_at": artifact.created_at,
            "site": site_of(artifact),
            "personas": len(StoredPersonas.of(artifact)),
            "inventory": inventory.name,
            "scale": [float(inventory.scale.low), float(inventory.scale.high)],
            "added": artifact in self._catalog.added,
        }

    def _source(self, artifact: Artifact) -> _Source:
        return self._sources.get(artifact.key, lambda: _Source.of(artifact))


@dataclass(frozen=True, eq=False)
class _Source:
    """Directions, and the inventory that their personas' traits are scored by."""

    artifact: Artifact
    inventory: Inventory

    @classmethod
    def of(cls, artifact: Artifact) -> _Source:
        return cls(artifact, Inventory.from_json(artifact.read_json("items.json")["inventory"]))

    def scores(self, personas: PersonaSet) -> list[list[float]]:
        """Mean keyed scores [personas][traits], on the inventory's scale; NaN where nothing was answered."""
        found: list[list[float]] = trait_scores(self.inventory, personas, self.inventory.trait_codes).tolist()
        return found


def _has(artifact: Artifact, persona: str) -> bool:
    return StoredPersonas.of(artifact).find(persona) is not None
