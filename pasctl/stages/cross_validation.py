"""Everything that personas' answers decide, done again without some of the items, and asked about these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.alphas import require_zero
from pasctl.evaluation.folds import stratified_folds
from pasctl.inventory import PersonaSet, signs
from pasctl.probes import PROBES
from pasctl.probes.split import split_items
from pasctl.stages.fit_directions import read_selection
from pasctl.stages.fit_items import FitItems, read_fit_items
from pasctl.stages.held_out import answering_bytes, expected_agreements, fitted_without
from pasctl.stages.job import StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DirectionSet, require_positions

if TYPE_CHECKING:
    from pasctl.evaluation.side_effects import Unsteered
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


@dataclass(frozen=True)
class ChoiceParams:
    """What is tried on which items.

    Attributes:
        alphas: strengths, 0 among them.
        folds: parts that the fit items are dealt into; each is held out once.
        positions: steer at "all" positions or at the "answer" position alone.
    """

    alphas: tuple[float, ...]
    folds: int
    positions: str

    def __post_init__(self) -> None:
        require_zero(self.alphas, "alphas to choose from")
        require_positions(self.positions)


@dataclass(eq=False)
class CrossValidation:
    """The folds, what is fitted without each, and what the model answers then.

    Attributes:
        directions: the artifact whose strength is looked for.
        activations: that it was fitted on, and probes.
        params: what is tried.
        neutral: a text on which side effects are measured.
        handle: the model.
        seed: of the folds.
        batch_tokens: bound on the tokens of one forward pass.
    """

    directions: Artifact
    activations: Artifact
    probes: Artifact
    params: ChoiceParams
    neutral: Neutral
    handle: ModelHandle
    seed: int
    batch_tokens: int

    @cached_property
    def items(self) -> FitItems:
        """The fit items that were extracted."""
        return read_fit_items(self.activations)

    @cached_property
    def fitted(self) -> DirectionSet:
        """The artifact's own directions, of all fit items."""
        return DirectionSet.read(self.directions)

    @property
    def personas(self) -> PersonaSet:
        """Who is steered to."""
        return self.fitted.personas

    @cached_property
    def agreements(self) -> NDArray[np.float64]:
        """[P, I] over the fit items."""
        found: NDArray[np.float64] = self.personas.agreements[:, self.items.columns]
        return found

    @cached_property
    def folds(self) -> NDArray[np.int64]:
        """Fold of each fit item [I]."""
        every = self.items.inventory.items
        strata = [(every[column].trait, every[column].facet) for column in self.items.columns]
        return stratified_folds(strata, self.params.folds, self.seed)

    def estimate(self) -> dict[str, int]:
        """The questions that a run asks, and the memory that asking takes at the most."""
        people, items = len(self.personas.ids), len(self.items.columns)
        steered = sum(alpha != 0 for alpha in self.params.alphas)
        memory = answering_bytes(
            self.handle,
            self.items.inventory,
            self.items.columns,
            steered * people,
            positions=self.params.positions,
            batch_tokens=self.batch_tokens,
        )
        return {"personas": people, "questions": items * (1 + steered * people), "memory_bytes": memory}

    def without(self, fold: int) -> DirectionSet:
        """Directions fitted on the other folds, as the artifact's were on all of them."""
        how, held, size = self.directions.params, self.folds == fold, self.fitted.size
        heads = self._ranked(held, how["top_k"], size) if read_selection(self.directions) is None else self.fitted.heads
        return fitted_without(self.items, self.personas, held, heads, how["method"], how["center"], size)

    def _ranked(self, held: NDArray[np.bool_], top_k: int, size: int) -> NDArray[np.int64]:
        """Each persona's heads of best probe [P, K, 2], trained and ranked on the items that are not held out."""
        from pasctl.directions.groups import top_groups
        from pasctl.probes.fit import fit_probes

        train, trained = np.flatnonzero(~held), self.probes.params
        traits = [self.items.traits[place] for place in train]
        scores = fit_probes(
            self.items.head_outputs[train],
            self.items.pairs,
            signs(self.agreements[:, train], self.items.inventory.middle[self.items.columns[train]]),
            split_items(traits, trained["validation"], self.probes.document["numerics"]["seed"]),
            PROBES.build(trained["method"], c=trained["c"]),
            ids=self.personas.ids,
        )
        return top_groups(scores.accuracy, scores.log_loss, top_k, size)

    def answers(self, work: StageContext, counts: dict[str, int]) -> NDArray[np.float64]:
        """Expected agreement with every fit item at every alpha, steered without its fold [A, P, I]."""
        people, alphas = len(self.personas.ids), self.params.alphas
        found = np.full((len(alphas), people, len(self.items.columns)), np.nan)
        steered = [place for place, alpha in enumerate(alphas) if alpha != 0]
        with work.reporter.progress("choose-alpha", self.params.folds * len(alphas), "settings") as advance:
            for fold in range(self.params.folds):
                held = np.flatnonzero(self.folds == fold)
                names = {place: f"parts/fold-{fold}-alpha-{alphas[place]!r}.safetensors" for place in steered}
                missing = any(not work.has(name) for name in names.values())
                directions = self.without(fold) if missing else None
                for place, alpha in enumerate(alphas):
                    if alpha == 0:
                        found[place][:, held] = self._unsteered(work, counts)[held]
                    else:
                        name = names[place]
                        if directions is not None and not work.has(name):
                            geometry = self._model(work).geometry
                            moved = [directions.intervention(geometry, person, alpha) for person in range(people)]
                            work.write(name, {"expected": self._answer(work, held, moved, counts)})
                        found[place][:, held] = work.read_tensors(name)["expected"]
                    advance(1)
        return found

    def _unsteered(self, work: StageContext, counts: dict[str, int]) -> NDArray[np.float64]:
        """Expected agreement with every fit item of the model left alone."""
        name = "parts/unsteered.safetensors"
        if not work.has(name):
            every = np.arange(len(self.items.columns))
            work.write(name, {"expected": self._answer(work, every, [None], counts)})
        expected: NDArray[np.float64] = work.read_tensors(name)["expected"][0]
        return expected

    def _answer(
        self,
        work: StageContext,
        places: NDArray[np.int64],
        interventions: Sequence[Intervention | None],
        counts: dict[str, int],
    ) -> NDArray[np.float64]:
        """Expected agreement with the fit items at these places under each intervention."""
        return expected_agreements(
            self._model(work),
            self.items.inventory,
            self.items.columns[places],
            interventions,
            positions=self.params.positions,
            batch_tokens=self.batch_tokens,
            counts=counts,
        )

    def _model(self, work: StageContext) -> LoadedModel:
        return self.handle.load(work.reporter)

    def side_effects(self, work: StageContext) -> tuple[list[list[float]], list[list[float]]]:
        """KL(unsteered || steered) and perplexity of the neutral text at every alpha, [A][P] each."""
        from pasctl.evaluation.side_effects import measure

        kl, perplexity = [], []
        text: Unsteered | None = None
        with work.reporter.progress("side effects", len(self.params.alphas), "alphas") as advance:
            for alpha in self.params.alphas:
                name = f"parts/text-alpha-{alpha!r}.json"
                if not work.has(name):
                    model = self._model(work)
                    rows = [
                        self.fitted.intervention(model.geometry, person, alpha) if alpha else None
                        for person in range(len(self.personas.ids))
                    ]
                    text = text or self.neutral.unsteered(model)
                    found = measure(model, text, rows, batch_tokens=self.batch_tokens)
                    work.write(name, {"kl": found.kl.tolist(), "perplexity": found.perplexity.tolist()})
                kept = work.read_json(name)
                kl.append(kept["kl"])
                perplexity.append(kept["perplexity"])
                advance(1)
        return kl, perplexity
