"""The personas that a model can be steered to, by the names that a user or a request has for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from pasctl.commands.choose_alpha import ChooseAlpha
from pasctl.commands.target import Alpha, SteeringTarget
from pasctl.errors import InputError, PasctlError
from pasctl.evaluation.alphas import AUTO
from pasctl.inventory.combination import is_combination, parse_combination
from pasctl.stages.artifact_resolver import ArtifactResolver
from pasctl.stages.budget import beyond_budget
from pasctl.stages.choose_alpha import default_positions
from pasctl.stages.chosen_strengths import ChosenStrengths
from pasctl.stages.granularity import is_imported
from pasctl.stages.job import Outcome
from pasctl.stages.lru_cache import LRUCache
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_names import near_names, split_name
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import CASE, DirectionSet, ResolvedTarget
from pasctl.stages.stored_personas import StoredPersonas

if TYPE_CHECKING:
    from pasctl.commands.shared import Ref

MOST_ADDED = 32
"""Directions that may be added to those given."""
GIVEN = "given for all personas"
"""Where a strength comes from that was not chosen."""
_DIRECTIONS, _PERSONAS = 16, 256  # how many are held
_COMPARED = 10_000  # names that a wrong one is compared with: more would take seconds
_SHOWN, _NAMED = 12, 5  # names in a hint, and in a message


@dataclass(frozen=True, eq=False)
class _Entry:
    """The personas of one artifact: the row of each, and where a text is steered to them."""

    artifact: Artifact
    rows: dict[str, int]
    positions: str


class PersonaCatalog:
    """The personas that a model can be steered to, looked up when they are asked for, by one thread at a time.

    A persona is named by its id, in the directions of the catalog, or as REF:ID or REF:case=ID in any; personas of one
    artifact can be combined with weights, as in `E+ & 0.5*N-`. Nothing is read before it is wanted.

    Attributes:
        added: directions named by ids alone besides those given.
    """

    def __init__(
        self,
        run: Run,
        model: ModelHandle,
        target: SteeringTarget | None = None,
        *,
        directions: Sequence[Ref] | None = None,
    ) -> None:
        """Remember where to look.

        Args:
            run: where directions are, and how a strength is chosen.
            model: the model.
            target: the directions, the strength and the positions where a caller names none.
            directions: several in place of the target's.
        """
        self._run, self._model, self._target = run, model, target or SteeringTarget()
        self._refs = (self._target.directions,) if directions is None else tuple(directions)
        self._resolver = ArtifactResolver(run.store, model, "directions")
        self.added: list[Artifact] = []
        self._entries: LRUCache[_Entry] = LRUCache(_DIRECTIONS + MOST_ADDED + len(self._refs))
        self._warned: set[str] = set()
        self._strengths = ChosenStrengths(run.store, self._target.budget_kl)
        self._known: LRUCache[DirectionSet] = LRUCache(_PERSONAS)

    @cached_property
    def _given(self) -> tuple[Artifact, ...]:
        return tuple(self._resolver.find(ref) for ref in self._refs)

    @property
    def sources(self) -> tuple[Artifact, ...]:
        """The directions whose personas can be named by their id alone: those given, then those that were added.

        Raises:
            MissingError: there are none of this model.
            InputError: those named are another model's.
        """
        return (*self._given, *self.added)

    def add(self, ref: Ref) -> Artifact:
        """Let the personas of more directions be named by their id alone; a name that is taken keeps its meaning.

        Raises:
            MissingError: there are no such directions.
            InputError: they are another model's, or no strength was chosen for them and none is given.
        """
        artifact = self._resolver.find(ref)
        if self._target.alpha == AUTO:
            self._chosen(self._entry(artifact), 0)
        if all(artifact.key != each.key for each in self.sources):
            self.added.append(artifact)
        return artifact

    @property
    def total(self) -> int:
        """How many personas can be named by their id alone."""
        return len(set().union(*(self._entry(source).rows for source in self.sources)))

    def ids(self, count: int | None = None) -> list[str]:
        """The first of them, or all."""
        return list(islice(self._ids(), count))

    def known_ids(self) -> list[str]:
        """All of them; none where there are no directions that can be used."""
        try:
            return self.ids()
        except PasctlError:
            return []

    def listed(self, count: int = _SHOWN) -> str:
        """The first of them in a line."""
        rest = self.total - count
        return ", ".join(self.ids(count)) + (f" and {rest:,} more" if rest > 0 else "")

    def name(self, persona: str | None) -> str:
        """The name REF:case=ID of the persona that a name means; see `find`."""
        if self._is_combined(persona):
            return str(persona)
        entry, row = self._place(persona)
        return f"{entry.artifact.name}:{CASE}{next(islice(entry.rows, row, None))}"

    def place(self, persona: str) -> tuple[Artifact, int]:
        """The directions that have a persona, and its row there."""
        entry, row = self._place(persona)
        return entry.artifact, row

    def strength(self, persona: str) -> tuple[float | None, str]:
        """The strength where a caller names none, and where it comes from; None if none was chosen yet."""
        if not isinstance(self._target.alpha, str):
            return self._target.alpha, GIVEN
        try:
            return self._chosen(*self._place(persona))
        except InputError as error:
            return None, error.message

    def positions(self, persona: str | None) -> str:
        """Where a text is steered to a persona: "all", or "answer"."""
        return self._place(persona)[0].positions

    def find(self, persona: str | None, alpha: Alpha | None = None) -> ResolvedTarget:
        """The target that a persona's name means, or None where there is only one.

        Args:
            persona: id, REF:ID, REF:case=ID, or a combination of these with weights.
            alpha: strength, or "auto"; None is the catalog's own.

        Raises:
            MissingError: there are no such directions.
            InputError: no such persona, directions of another model, several personas and none named, or a strength
                that was not chosen yet.
        """
        if persona is not None and self._is_combined(persona):
            return self._combined(persona, alpha)
        entry, row = self._place(persona)
        strength, why = self._target.alpha if alpha is None else alpha, ""
        if isinstance(strength, str):
            strength, why = self._chosen(entry, row)
        known = self._known.get(
            (entry.artifact.key, row), lambda: DirectionSet.read(entry.artifact, np.array([row], dtype=np.int64))
        )
        resolved = ResolvedTarget(strength, entry.positions, entry.artifact, known, why)
        if not why:
            self._warn(resolved)
        return resolved

    def _warn(self, given: ResolvedTarget) -> None:
        """Say once that a strength which a user gave is beyond the budget."""
        name = f"{given.name} {given.alpha!r}"
        if name in self._warned:
            return
        self._warned.add(name)
        told = beyond_budget(
            self._run.store, given.directions, given.known, given.positions, given.alpha, self._target.budget_kl
        )
        if told:
            self._run.reporter.note(f"warning: {told}")

    def _is_combined(self, persona: str | None) -> bool:
        """Whether a name is a combination, and not the id of a persona that was fitted as one."""
        if persona is None or not is_combination(persona):
            return False
        return not any(persona.removeprefix(CASE) in self._entry(source).rows for source in self.sources)

    def _combined(self, persona: str, alpha: Alpha | None) -> ResolvedTarget:
        """A combination of personas that one artifact has; with "auto" at the mean of their strengths."""
        parts = [(weight, self.find(name, alpha)) for weight, name in parse_combination(persona)]
        first = parts[0][1]
        other = next((each for _, each in parts if each.directions.key != first.directions.key), None)
        if other is not None:
            raise InputError(
                f"combination {persona!r}: expected personas of one artifact, found {first.name} and {other.name}",
                hint="fit them together: pasctl fit-directions --personas with commas between them",
            )
        strength = sum(each.alpha for _, each in parts) / len(parts)
        known = DirectionSet.combined(persona, [(weight, each.known) for weight, each in parts])
        return ResolvedTarget(strength, first.positions, first.directions, known, first.why)

    def choose(self, persona: str | None, alpha: Alpha | None = None) -> Outcome | None:
        """Choose strengths where "auto" asks for one, and none was chosen yet with the persona's directions.

        Returns:
            What came of it; None if there was nothing to choose.
        """
        entry, _ = self._place(persona)
        strength, directions = self._target.alpha if alpha is None else alpha, entry.artifact
        if strength != AUTO or is_imported(directions) or self._strengths.latest(directions, entry.positions):
            return None
        self._run.reporter.note(f"no alpha was chosen for {entry.artifact.name} yet: choosing one first (choose-alpha)")
        outcome: Outcome = self._run.make(
            ChooseAlpha(
                directions=entry.artifact,
                model=self._model,
                positions=entry.positions,  # type: ignore[arg-type]
            )
        )
        return outcome

    def require_alphas(self) -> None:
        """Refuse directions of the catalog whose strength is "auto" and was not chosen.

        Raises:
            InputError: there are some.
        """
        for source in self.sources:
            if self._target.alpha == AUTO:
                self._chosen(self._entry(source), 0)

    def _ids(self) -> Iterator[str]:
        yield from dict.fromkeys(each for source in self.sources for each in self._entry(source).rows)

    def _place(self, persona: str | None) -> tuple[_Entry, int]:
        """The personas among which one is, and its row; of a combination those of its first part."""
        if persona is not None and self._is_combined(persona):
            return self._place(parse_combination(persona)[0][1])
        served = [self._entry(source) for source in self.sources]
        if persona is None:
            return served[0], self._only(served[0])
        own = persona.removeprefix(CASE)
        for entry in served:
            if own in entry.rows:
                return entry, entry.rows[own]
        ref, named, wanted = split_name(persona)
        if not named and served and "/" not in persona:
            where = ", ".join(source.name for source in self.sources)
            raise InputError(
                f"no persona of {self.total} is called {persona!r}, in {where}; expected one of {self.listed(_NAMED)}",
                hint=near_names(persona, self.ids(_COMPARED)),
            )
        entry = self._entry(self._resolver.find(ref))
        if not named:
            return entry, self._only(entry, ref)
        if wanted not in entry.rows:
            some = list(islice(entry.rows, _COMPARED))
            raise InputError(
                f"{entry.artifact.name} has no persona {wanted!r}, expected one of {', '.join(some[:_NAMED])}",
                hint=near_names(wanted, some),
            )
        return entry, entry.rows[wanted]

    def _only(self, entry: _Entry, ref: str = "") -> int:
        """The row of the persona that is the only one."""
        if len(entry.rows) > 1:
            how = f" as {ref}:{CASE}ID" if ref else ""
            told = f"{entry.artifact.name} has {len(entry.rows)} personas, expected one to be named{how}"
            raise InputError(told, hint=f"it has {', '.join(islice(entry.rows, _SHOWN))}")
        return 0

    def _entry(self, artifact: Artifact) -> _Entry:
        return self._entries.get(artifact.key, lambda: self._read(artifact))

    def _read(self, artifact: Artifact) -> _Entry:
        rows = {each: row for row, each in enumerate(StoredPersonas.of(artifact).ids())}
        return _Entry(artifact, rows, self._target.positions or default_positions(artifact))

    def _chosen(self, entry: _Entry, row: int) -> tuple[float, str]:
        """The strength that was chosen for a persona, and what is said about it."""
        return self._strengths.of(entry.artifact, entry.positions, row)
