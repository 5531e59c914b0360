"""A person's trait scores against those of a population: standardised, and shrunk by their reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pasctl.inventory.items import Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.personas import PersonaSet

Floats = npt.NDArray[np.float64]
FEWEST = 8
"""Persons that a population needs; with fewer, scores are compared with the scale's midpoint instead."""
TYPICAL_SPREAD = 0.15
"""Of trait scores over persons, as a share of the scale's range; PAPI's are .12 to .17."""


def trait_scores(inventory: Inventory, personas: PersonaSet, traits: Sequence[str]) -> Floats:
    """Mean keyed score of each person on the fit items of each trait, [P, T]; NaN without an answered item.

    Items count by their weights, and those with options of their own as on the inventory's scale.
    """
    fit = inventory.indices("fit")
    of_item = np.array(inventory.traits)[fit]
    keyed, weights = inventory.on_one_scale(inventory.keyed(personas.agreements))[:, fit], inventory.weights[fit]
    scores = np.full((len(personas), len(traits)), np.nan)
    for place, trait in enumerate(traits):
        values = keyed[:, of_item == trait]
        weight = weights[of_item == trait]
        answered = (np.isfinite(values) * weight).sum(axis=1)
        total = np.nansum(values * weight, axis=1)
        np.divide(total, answered, out=scores[:, place], where=answered > 0)
    return scores


@dataclass(frozen=True, eq=False)
class Norms:
    """What a population scores on T traits.

    Attributes:
        mean: [T]; spread: standard deviation [T], ddof 1.
        reliability: Cronbach's alpha of the fit items [T], from 0 to 1: the share of the scores' variance that is not
            noise.
        persons: how many they are of, 1 where nobody says; 0 where the scale's midpoint stands for a population.
    """

    mean: Floats
    spread: Floats
    reliability: Floats
    persons: int

    @classmethod
    def of(cls, inventory: Inventory, population: PersonaSet, traits: Sequence[str]) -> Norms:
        """The norms of a population, or where it has fewer than FEWEST persons those that the inventory's file gives.

        They are those of everybody, or of its only group.
        """
        if len(population) < FEWEST:
            groups = inventory.norms.groups
            group = "" if len(groups) != 1 else groups[0]
            given = {norm.trait: norm for norm in inventory.norms.norms if norm.group == group}
            return cls.given(inventory, given, traits)
        scores = trait_scores(inventory, population, traits)
        spread = np.nanstd(scores, axis=0, ddof=1)
        reliability = np.array([_cronbach(inventory, population, trait) for trait in traits])
        return cls(np.nanmean(scores, axis=0), spread, reliability, len(population))

    @classmethod
    def given(cls, inventory: Inventory, norms: Mapping[str, Norm], traits: Sequence[str]) -> Norms:
        """Norms by trait code; the scale's middle and a typical spread for a trait without one.

        Scores count as free of noise, since nobody's answers tell how much there is.
        """
        spread = TYPICAL_SPREAD * (inventory.scale.high - inventory.scale.low)
        scale = Norm("", inventory.scale.middle, spread)
        own = [norms.get(trait, scale) for trait in traits]
        persons = max([norm.n or 1 for norm in norms.values()], default=0)
        means, spreads = np.array([norm.mean for norm in own]), np.array([norm.sd for norm in own])
        return cls(means, spreads, np.ones(len(own)), persons)

    def standardise(self, scores: Floats) -> Floats:
        """Scores [P, T] in standard deviations from the mean, shrunk towards it by their reliability.

        Kelley's estimate of the true score (T. L. Kelley, "Fundamentals of Statistics", 1947): mean + reliability *
        (score - mean). A score that is missing is the mean.
        """
        z = (scores - self.mean) / np.where(self.spread > 0, self.spread, np.inf) * self.reliability
        return np.nan_to_num(z, nan=0.0)


def _cronbach(inventory: Inventory, population: PersonaSet, trait: str) -> float:
    fit = inventory.indices("fit")
    columns = fit[np.array(inventory.traits)[fit] == trait]
    values = inventory.on_one_scale(inventory.keyed(population.agreements))[:, columns]
    complete = np.isfinite(values).all(axis=1).sum()
    if complete < FEWEST or values.shape[1] < 2:
        return 1.0
    alpha = cronbach_alpha(values)
    return float(np.clip(0.0 if alpha is None else alpha, 0.0, 1.0))


def cronbach_alpha(values: Floats) -> float | None:
    """Cronbach's alpha of keyed scores [P, K] from those who answered all K items (L. J. Cronbach, Psychometrika 1951).

    None for less than two items, fewer than FEWEST persons, or sums that do not vary.
    """
    complete = values[np.isfinite(values).all(axis=1)]
    count = values.shape[1]
    if count < 2 or len(complete) < FEWEST:
        return None
    total = complete.sum(axis=1).var(ddof=1)
    return float(count / (count - 1) * (1 - complete.var(axis=0, ddof=1).sum() / total)) if total > 0 else None
