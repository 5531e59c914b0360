"""Selection by steering: the heads and the strength that bring validation answers nearest to the personas'."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.selection import Heads, Trial, best, count_trials, heads_of, select_heads, select_layers
from pasctl.inventory import Inventory, PersonaSet
from pasctl.stages.fit_items import FitItems
from pasctl.stages.held_out import answering_bytes, expected_agreements, fitted_without
from pasctl.stages.job import StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.steering import DirectionSet, require_positions

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


@dataclass(frozen=True, eq=False)
class Selector:
    """How a selection is made.

    Attributes:
        handle: the model to steer; it is loaded when the first trial is run.
        alphas: strengths to try; none of them is 0, which is the model left alone.
        positions: steer at "all" positions or only at the "answer".
        batch_tokens: bound on the tokens of one forward pass.
        size: how many heads, side by side, are shifted and chosen as one: those of a key-value group, or 1.
    """

    handle: ModelHandle
    alphas: tuple[float, ...]
    positions: str
    batch_tokens: int
    size: int = 1

    def __post_init__(self) -> None:
        require_positions(self.positions)
        if not self.alphas:
            raise InputError("selection by steering has nothing to try, expected an alpha other than 0")

    @property
    def params(self) -> dict[str, Any]:
        """What enters the key."""
        return {"select": "steering", "alphas": list(self.alphas), "positions": self.positions}

    def count_trials(self, n_layers: int, n_heads: int) -> int:
        """At most so many trials are made; `n_heads` is of a layer."""
        return count_trials(n_layers, n_heads // self.size, len(self.alphas))

    def memory_bytes(self, inventory: Inventory, validation: Sequence[str], personas: int) -> int:
        """Memory at the most while items of these ids are asked for so many personas; no weights are loaded."""
        columns = np.array([inventory.position[name] for name in validation])
        return answering_bytes(
            self.handle, inventory, columns, personas, positions=self.positions, batch_tokens=self.batch_tokens
        )

    def select(
        self,
        work: StageContext,
        items: FitItems,
        personas: PersonaSet,
        held: NDArray[np.bool_],
        method: str,
        center: str,
        counts: dict[str, int],
    ) -> dict[str, Any]:
        """Fit directions on the items that are not held out, steer with them, and answer those that are.

        Layers are tried first, then the heads of the best ones.

        Args:
            work: keeps each trial as it ends, so that a killed selection goes on.
            items: the fit items, I of them.
            personas: P personas.
            held: bool [I], the validation items.
            method: of the directions.
            center: of the directions.
            counts: receives the tokens that were asked and run.

        Returns:
            layers, heads, alpha and positions chosen, the validation items' ids, and all that was tried.
        """
        asked = _Validation(self, work, items, personas, held, method, center, counts)
        n_layers, n_heads = items.head_outputs.shape[2:4]
        unsteered = asked.trial((), None, 0.0)
        with work.reporter.progress("select", self.count_trials(n_layers, n_heads), "trials") as advance:

            def trial(layers: tuple[int, ...], heads: Heads | None, alpha: float) -> Trial:
                found = asked.trial(layers, heads, alpha)
                advance(1)
                return found

            trials = select_layers(n_layers, self.alphas, trial)
            trials += select_heads(best(trials), n_heads, self.alphas, trial, self.size)
        chosen = best(trials)
        heads = heads_of(chosen.layers, n_heads) if chosen.heads is None else chosen.heads
        return {
            "layers": list(chosen.layers),
            "heads": [list(head) for head in heads],
            "alpha": chosen.alpha,
            "positions": self.positions,
            "validation": [items.inventory.items[place].id for place in items.columns[held]],
            "no_change": {"mae": unsteered.mae, "item_correlation": unsteered.item_correlation},
            "tried": [each.to_json() for each in trials],
        }


@dataclass(eq=False)
class _Validation:
    """Answers to the validation items under any steering; each trial is kept as it ends."""

    selector: Selector
    work: StageContext
    items: FitItems
    personas: PersonaSet
    held: NDArray[np.bool_]
    method: str
    center: str
    counts: dict[str, int]

    def trial(self, layers: tuple[int, ...], heads: Heads | None, alpha: float) -> Trial:
        """Steer heads (None: all) of `layers` to each persona; no layers leave the model alone."""
        name = f"parts/{_place(layers, heads)}-alpha-{alpha!r}.json"
        if not self.work.has(name):
            self.work.write(name, self._measure(layers, heads, alpha).to_json())
        return Trial.from_json(self.work.read_json(name))

    def _measure(self, layers: tuple[int, ...], heads: Heads | None, alpha: float) -> Trial:
        from pasctl.evaluation.metrics import item_correlation
        from pasctl.evaluation.scores import row_means

        people = len(self.personas.ids)
        agreements = self.personas.agreements[:, self.items.columns[self.held]]
        if layers:
            n_heads = self.items.head_outputs.shape[3]
            steering = self._directions.of_heads(heads_of(layers, n_heads) if heads is None else heads)
            geometry = self._model.geometry
            answers = self._answer([steering.intervention(geometry, row, alpha) for row in range(people)])
        else:
            answers = np.repeat(self._answer([None]), people, axis=0)
        errors = row_means(np.abs(answers - agreements))
        return Trial(layers, alpha, float(np.nanmean(errors)), item_correlation(answers, agreements), heads)

    def _answer(self, interventions: Sequence[Intervention | None]) -> NDArray[np.float64]:
        """Expected agreement with each validation item under each intervention."""
        return expected_agreements(
            self._model,
            self.items.inventory,
            self.items.columns[self.held],
            interventions,
            positions=self.selector.positions,
            batch_tokens=self.selector.batch_tokens,
            counts=self.counts,
        )

    @property
    def _model(self) -> LoadedModel:
        return self.selector.handle.load(self.work.reporter)

    @cached_property
    def _directions(self) -> DirectionSet:
        """Of all heads, fitted on the items that are not held out."""
        n_layers, n_heads = self.items.head_outputs.shape[2:4]
        heads = same_heads(heads_of(range(n_layers), n_heads), len(self.personas.ids))
        size = self.selector.size
        return fitted_without(self.items, self.personas, self.held, heads, self.method, self.center, size)


def _place(layers: tuple[int, ...], heads: Heads | None) -> str:
    """What is steered, as a part of a file's name: short, however many heads there are."""
    if heads is None:
        return f"layers-{'-'.join(map(str, layers))}"
    return f"heads-{hashlib.sha256(repr(heads).encode()).hexdigest()[:16]}"


def same_heads(heads: Sequence[Sequence[int]], personas: int) -> NDArray[np.int64]:
    """These (layer, head) for every persona [P, K, 2]."""
    return np.repeat(np.array(heads, dtype=np.int64)[None], personas, axis=0)


def held_out(items: FitItems, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the fit items have one of these ids, bool [I]."""
    return np.isin([items.inventory.items[place].id for place in items.columns], list(names))
