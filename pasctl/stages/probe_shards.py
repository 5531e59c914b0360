"""Probes of few or many personas, shard by shard: what is in memory does not grow with how many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.inventory import Inventory, Personas, PersonaSet, Span, listing, persona_table, require_usable, signs
from pasctl.stages.job import StageContext
from pasctl.stages.progress import Reporter
from pasctl.stages.stored_personas import personas_name, shard_name, spans_of, tiles_of

if TYPE_CHECKING:
    from pasctl.probes.fit import ProbeMethod
    from pasctl.stages.fit_items import FitItems


@dataclass(frozen=True, eq=False)
class Training:
    """How probes are trained.

    Attributes:
        items: the fit items, I of them.
        held_out: bool [I], the validation items.
        probe: the method.
        weights: whether the probes' weights are kept.
        tile: personas that are trained at once, at most.
    """

    items: FitItems
    held_out: NDArray[np.bool_]
    probe: ProbeMethod
    weights: bool
    tile: int

    def train(self, personas: PersonaSet, progress: Callable[[int, int], None]) -> dict[str, NDArray[Any]]:
        """The scores of a tile's personas, by the names that they are kept under."""
        from pasctl.probes.fit import fit_probes

        scores = fit_probes(
            self.items.head_outputs,
            self.items.pairs,
            self.items.signs(personas.agreements[:, self.items.columns]),
            self.held_out,
            self.probe,
            ids=personas.ids,
            keep_weights=self.weights,
            progress=progress,
        )
        return {name: values for name, values in vars(scores).items() if values is not None}


def usable_personas(
    personas: Personas,
    inventory: Inventory,
    columns: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    *,
    leave_out: bool,
    reporter: Reporter,
) -> Personas:
    """Those who have something to train on and something to rank heads by: one of many is known before hours pass.

    Args:
        personas: few or many.
        inventory: what they answered.
        columns: places of the fit items in the inventory, I of them.
        held_out: bool [I], the validation items.
        leave_out: go on without the others.
        reporter: is told who is left out.

    Raises:
        InputError: somebody has not, and is not to be left out, or nobody has.
    """
    places: list[int] = []
    names: list[str] = []
    spans = spans_of(len(personas))
    for (start, _), part in zip(spans, personas.parts(spans), strict=True):
        if not leave_out:
            require_usable(part, columns, inventory)
        given = signs(part.agreements[:, columns], inventory.middle[columns]) != 0
        lacks = np.flatnonzero(~(given[:, ~held_out].any(axis=1) & given[:, held_out].any(axis=1)))
        places += (start + lacks).tolist()
        names += [part.ids[place] for place in lacks]
    if not places:
        return personas
    who = f"{len(places):,} of {len(personas):,} personas: {listing(names)}"
    if not leave_out or len(places) == len(personas):
        raise InputError(
            f"no answer other than the middle among the items to train on, or among those to rank heads by, from {who}",
            hint="--leave-out-unusable goes on without them; or change the seed or the validation share",
        )
    reporter.note(f"left out for want of answers other than the middle: {who}")
    return personas.without(np.array(places))


def train_shards(work: StageContext, personas: Personas, training: Training) -> None:
    """Train and keep the probes of every shard that an earlier run has not left."""
    spans = spans_of(len(personas))
    cut = len(spans) > 1
    missing = [span for span in spans if not _is_kept(work, span, cut=cut)]
    layers = training.items.head_outputs.shape[2]
    steps = layers * sum(len(tiles_of(span, training.tile)) for span in missing)
    with work.reporter.progress("train-probes", steps, "layers") as advance:
        for span, part in zip(missing, personas.parts(missing), strict=True):
            if cut:
                work.write(personas_name(span), persona_table(part, list(training.items.inventory.position)))
            tiles = [part.subset(rows) for rows in tiles_of(span, training.tile)]
            scores = [training.train(tile, lambda done, total: advance(1)) for tile in tiles]
            joined = {name: np.concatenate([each[name] for each in scores]) for name in scores[0]}
            work.write(shard_name("scores", span, cut=cut), joined)


def _is_kept(work: StageContext, span: Span, *, cut: bool) -> bool:
    """Whether an earlier run has left a shard."""
    return work.has(shard_name("scores", span, cut=cut)) and (not cut or work.has(personas_name(span)))
