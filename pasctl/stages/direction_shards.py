"""Directions of few or many personas, shard by shard: what is in memory does not grow with how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.directions import DIRECTIONS
from pasctl.inventory import PersonaSet, Span
from pasctl.stages.fit_items import FitItems
from pasctl.stages.job import StageContext
from pasctl.stages.runner import Artifact
from pasctl.stages.selector import same_heads
from pasctl.stages.steering import DIRECTIONS_FILE, SHUFFLED, SHUFFLED_ANSWERS
from pasctl.stages.stored_personas import StoredPersonas, personas_name, shard_name, tiles_of

if TYPE_CHECKING:
    from pasctl.directions.fit import Directions, Lacking
    from pasctl.directions.population import Population, Sums

_SUMS = "parts/population.safetensors"
_WHICH = ("own", "shuffled")


@dataclass(frozen=True, eq=False)
class Fitting:
    """How directions are fitted, to each persona's own answers and to its answers in another order.

    Attributes:
        items: the fit items.
        top_k: heads or groups of each persona, best by probe.
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: one of `pasctl.directions.CENTERS`.
        size: how many heads are chosen and shifted as one.
        seed: of the other order.
        tile: personas that are fitted at once, at most; what is rounding and no direction is told beside these.
        heads: (layer, head) [K, 2] of everybody, where they were not chosen by probe.
    """

    items: FitItems
    top_k: int
    method: str
    center: str
    size: int
    seed: int
    tile: int
    heads: Sequence[Sequence[int]] | None = None

    def answers(self, personas: PersonaSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Agreements with the fit items [P, I], and the same shuffled."""
        own = personas.agreements[:, self.items.columns]
        return own, shuffle_answers(own, personas.ids, self.seed)

    def chosen(self, probes: Artifact, span: Span, *, cut: bool) -> NDArray[np.int64]:
        """Each persona's (layer, head) [P, K, 2]."""
        from pasctl.directions.groups import top_groups

        if self.heads is not None:
            return same_heads(self.heads, span[1] - span[0])
        scores = probes.read_arrays(shard_name("scores", span, cut=cut), only=("accuracy", "log_loss"))
        return top_groups(scores["accuracy"], scores["log_loss"], self.top_k, self.size)

    def fit(
        self, personas: PersonaSet, heads: NDArray[np.int64], populations: Sequence[Population | None]
    ) -> tuple[Directions, Directions]:
        """Directions of a tile's personas, and those of shuffled answers."""
        from pasctl.directions.groups import fit_groups

        def fit_to(answers: NDArray[np.float64], population: Population | None, lacking: Lacking) -> Directions:
            return fit_groups(
                self.items.head_outputs,
                self.items.pairs,
                self.items.signs(answers),
                heads,
                DIRECTIONS.build(self.method),
                self.center,
                size=self.size,
                ids=personas.ids,
                lacking=lacking,
                population=population,
            )

        own, shuffled = self.answers(personas)
        # shuffled answers may cancel out everywhere, or be those of the whole population, where the real ones are not
        return fit_to(own, populations[0], "some"), fit_to(shuffled, populations[1], "any")

    def sums(self, personas: PersonaSet) -> list[Sums]:
        """Of the raw directions of a tile's personas, and of those of shuffled answers."""
        from pasctl.directions.groups import mean_outputs
        from pasctl.directions.population import sum_up

        x = self.items.head_outputs if self.size == 1 else mean_outputs(self.items.head_outputs, self.size)
        layers, method = self.items.head_outputs.shape[2], DIRECTIONS.build(self.method)
        return [
            sum_up(x, self.items.pairs, self.items.signs(answers), method, n_layers=layers)
            for answers in self.answers(personas)
        ]


def fit_shards(work: StageContext, probes: Artifact, fitting: Fitting) -> dict[str, int]:
    """Fit and keep the directions of every shard that an earlier run has not left.

    Where personas are centred on a population that is more than a tile, its mean is summed up first.

    Returns:
        how many personas there are, and heads of each.
    """
    kept = StoredPersonas.of(probes)
    tiles = sum(len(tiles_of(span, fitting.tile)) for span in kept.spans)
    passes = 2 if fitting.center == "population" and tiles > 1 else 1
    with work.reporter.progress("fit-directions", passes * len(kept), "personas") as advance:
        populations = _populations(work, kept, fitting, advance) if passes > 1 else (None, None)
        for span in kept.spans:
            names = [shard_name(what, span, cut=kept.cut) for what in (DIRECTIONS_FILE, SHUFFLED)]
            if not all(work.has(name) for name in names):
                chosen, shard = fitting.chosen(probes, span, cut=kept.cut), kept.shard(span)
                fitted = [
                    fitting.fit(shard.subset(tile), chosen[tile.start : tile.stop], populations)
                    for tile in tiles_of(span, fitting.tile)
                ]
                own, shuffled = ([each[which] for each in fitted] for which in (0, 1))
                _tell_lacking(work, own)
                work.write(names[0], {"heads": chosen, **_joined(own)})
                work.write(names[1], _joined(shuffled))
            if kept.cut:
                work.adopt(personas_name(span), probes)
            advance(span[1] - span[0])
    heads = fitting.top_k * fitting.size if fitting.heads is None else len(fitting.heads)
    return {"personas": len(kept), "heads": heads}


def _populations(
    work: StageContext, kept: StoredPersonas, fitting: Fitting, advance: Callable[[int], None]
) -> tuple[Population, Population]:
    """What all personas' raw directions have in common, and those of their shuffled answers; kept as shards end."""
    from pasctl.directions.population import Sums

    done, found = 0, []
    if work.has(_SUMS):
        arrays = work.read_tensors(_SUMS)
        done, count = (int(each) for each in arrays["done"])
        found = [Sums(arrays[f"{which}.total"], arrays[f"{which}.square"], count) for which in _WHICH]
    for number, span in enumerate(kept.spans):
        if number >= done:
            shard = kept.shard(span)
            for tile in tiles_of(span, fitting.tile):
                more = fitting.sums(shard.subset(tile))
                found = [one + other for one, other in zip(found, more, strict=True)] if found else more
            sums = {f"{which}.total": each.total for which, each in zip(_WHICH, found, strict=True)}
            sums |= {f"{which}.square": each.square for which, each in zip(_WHICH, found, strict=True)}
            work.write(_SUMS, {"done": np.array([number + 1, found[0].count]), **sums})
        advance(span[1] - span[0])
    return found[0].population(), found[1].population()


def _tell_lacking(work: StageContext, tiles: Sequence[Directions]) -> None:
    sigma = np.concatenate([tile.sigma for tile in tiles])
    heads, personas = int((sigma == 0).sum()), int((sigma == 0).any(axis=1).sum())
    if heads:
        work.reporter.note(
            f"{personas:,} of {len(sigma):,} personas have no direction in some of their heads ({heads:,} in all), "
            "since their answers cancel out there: these heads are not shifted"
        )


def _joined(tiles: Sequence[Directions]) -> dict[str, NDArray[Any]]:
    """Theta and sigma of a shard's tiles."""
    return {name: np.concatenate([getattr(tile, name) for tile in tiles]) for name in ("theta", "sigma")}


def shuffle_answers(agreements: NDArray[np.float64], ids: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Each persona's answers [P, I] in another order over the items it answered; NaN stay where they are.

    How many times a persona gives each answer, and so how much it agrees with everything, remains; to which items, does
    not. A persona's order depends on the seed and its id alone, whoever else is there.
    """
    shuffled = agreements.copy()
    for row, name in zip(shuffled, ids, strict=True):
        own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        answered = np.flatnonzero(np.isfinite(row))
        row[answered] = np.random.default_rng([seed, SHUFFLED_ANSWERS, own]).permutation(row[answered])
    return shuffled
