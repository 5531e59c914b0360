"""The psychometrics of each panel of an evaluation, per trait, with the people's own as reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pasctl.evaluation.intervals import SIGNIFICANT, holm
from pasctl.evaluation.psychometrics.congruence import congruence
from pasctl.evaluation.psychometrics.differential import differences
from pasctl.evaluation.psychometrics.graded_fit import GradedItems, fit_graded
from pasctl.evaluation.psychometrics.graded_scores import outfit, thetas
from pasctl.evaluation.psychometrics.marginals import marginal_distances
from pasctl.evaluation.psychometrics.panel import Floats, Ints, Panel, panels
from pasctl.evaluation.psychometrics.reliability import reliability
from pasctl.evaluation.rows import Rows

PEOPLE = "people"
"""The condition of the row that has what the persons answered themselves."""
FEWEST_ITEMS = 3
"""Items that a graded response model of a trait needs."""
MOST_LEVELS = 11
"""Scores that people may give an item there: answers that are means of several have as many as persons."""


@dataclass(frozen=True)
class Place:
    """Where a panel stands on a trait, in standard deviations of the people's theta.

    Attributes:
        mean: of theta over persons.
        deviation: of theta over persons.
        error: standard error of one person's theta, mean over persons.
        correlation: of theta with the same persons' own, NaN where either does not differ.
        outfit: see `graded_scores.outfit`, median over items.
    """

    mean: float
    deviation: float
    error: float
    correlation: float
    outfit: float


@dataclass(frozen=True)
class DifferentItem:
    """An item that the model answers differently from people who stand at the same place, by so many points."""

    item: str
    points: float
    p_holm: float


@dataclass(frozen=True)
class TraitSummary:
    """What a panel has on one trait; NaN or None where it cannot be had.

    Attributes:
        trait: its code.
        alpha: Cronbach's alpha.
        omega: McDonald's omega.
        phi: Tucker's phi of its factor with the people's.
        distance: W1 of the items' answers, in points, mean over items.
        share: the same of the items' ranges.
        place: by the graded response model.
        tested: items that were tested for a difference.
        different: those that differ, p by Holm's correction over all tested items of the panel.
    """

    trait: str
    alpha: float
    omega: float
    phi: float
    distance: float
    share: float
    place: Place | None
    tested: int
    different: tuple[DifferentItem, ...]


@dataclass(frozen=True)
class PanelSummary:
    """What a panel has; its condition is PEOPLE for the persons themselves.

    Attributes:
        reading: "" of the people.
        chance: phi of answers that say nothing of each other; NaN where there is no phi.
    """

    reading: str
    condition: str
    setting: str
    personas: int
    traits: tuple[TraitSummary, ...]
    chance: float

    def mean(self, name: str) -> float:
        """The mean of one of their numbers over the traits that have it, NaN if none has."""
        return _mean(np.array([getattr(trait, name) for trait in self.traits]))

    @property
    def tested(self) -> int:
        """Items that were tested for a difference."""
        return sum(trait.tested for trait in self.traits)

    @property
    def different(self) -> int:
        """Items that differ."""
        return sum(len(trait.different) for trait in self.traits)


def panel_summaries(rows: Rows, *, graded: bool = True) -> list[PanelSummary]:
    """Of each reading the people and then each panel, in the order of the rows; none where persons are too few.

    People who are those of an earlier reading are not repeated.

    Args:
        rows: in the format of `rows.SCHEMA`.
        graded: whether graded response models are fitted, which takes most of the time: without them persons have no
            place, and no item is tested.
    """
    by_reading: dict[str, list[Panel]] = {}
    for panel in panels(rows):
        by_reading.setdefault(panel.reading, []).append(panel)
    summaries: list[PanelSummary] = []
    shown = set()
    for several in by_reading.values():
        largest = max(several, key=lambda panel: len(panel.personas))
        items = _fitted(largest) if graded else {}
        if (who := (largest.personas, largest.items)) not in shown:
            shown.add(who)
            summaries.append(_of_people(largest, items))
        for panel in several:
            own = items if not graded or panel.items == largest.items else _fitted(panel)
            summaries.append(_of_panel(panel, own))
    return summaries


def _fitted(panel: Panel) -> dict[str, tuple[Ints, GradedItems]]:
    """Trait -> the columns of items that people differ in, and the model fitted on the people."""
    fits = {}
    for trait in panel.trait_codes:
        columns = panel.columns(trait)
        kept = columns[[2 <= _levels(panel.people[:, column]) <= MOST_LEVELS for column in columns]]
        if len(kept) >= FEWEST_ITEMS:
            fits[trait] = kept, fit_graded(panel.people[:, kept])
    return fits


def _of_people(panel: Panel, items: dict[str, tuple[Ints, GradedItems]]) -> PanelSummary:
    coefficients, nan = reliability(panel, panel.people), float("nan")
    traits = [
        TraitSummary(
            *(trait, coefficients.alpha[trait], coefficients.omega[trait], nan, nan, nan),
            *(_place(panel.people, panel.people, items.get(trait)), 0, ()),
        )
        for trait in panel.trait_codes
    ]
    return PanelSummary("", PEOPLE, "", len(panel.personas), tuple(traits), nan)


def _of_panel(panel: Panel, items: dict[str, tuple[Ints, GradedItems]]) -> PanelSummary:
    coefficients, factors = reliability(panel, panel.scores), congruence(panel)
    distances = marginal_distances(panel)
    shares = distances / (panel.high - panel.low)
    points, corrected = _item_differences(panel, items)
    traits = []
    for trait in panel.trait_codes:
        columns = panel.columns(trait)
        different = tuple(
            DifferentItem(panel.items[column], points[column], corrected[column])
            for column in columns
            if corrected.get(int(column), 1.0) < SIGNIFICANT
        )
        traits.append(
            TraitSummary(
                trait,
                coefficients.alpha[trait],
                coefficients.omega[trait],
                factors.phi[trait] if factors else float("nan"),
                _mean(distances[columns]),
                _mean(shares[columns]),
                _place(panel.answers, panel.people, items.get(trait)),
                sum(int(column) in corrected for column in columns),
                different,
            )
        )
    chance = factors.chance if factors else float("nan")
    return PanelSummary(panel.reading, panel.condition, panel.setting, len(panel.personas), tuple(traits), chance)


def _item_differences(
    panel: Panel, items: dict[str, tuple[Ints, GradedItems]]
) -> tuple[dict[int, float], dict[int, float]]:
    """Column -> points, and column -> p by Holm's correction, of the traits on which the model tells persons apart."""
    points: dict[int, float] = {}
    p: dict[int, float] = {}
    for columns, _ in items.values():
        people, model = panel.people[:, columns], panel.answers[:, columns]
        if not np.isfinite(model).all() or not _differ(model.sum(axis=1)):
            continue
        difference = differences(people, model)
        for column, size, value in zip(columns, difference.points, difference.p, strict=True):
            if np.isfinite(value):
                points[int(column)], p[int(column)] = float(size), float(value)
    return points, dict(zip(p, holm(list(p.values())), strict=True)) if p else {}


def _place(answers: Floats, people: Floats, fit: tuple[Ints, GradedItems] | None) -> Place | None:
    if fit is None:
        return None
    columns, items = fit
    theta, own = thetas(items, answers[:, columns]), thetas(items, people[:, columns]).estimate
    same = _differ(theta.estimate.round(9)) and _differ(own.round(9))
    return Place(
        float(theta.estimate.mean()),
        float(theta.estimate.std(ddof=1)),
        float(theta.error.mean()),
        float(np.corrcoef(theta.estimate, own)[0, 1]) if same else float("nan"),
        float(np.nanmedian(outfit(items, answers[:, columns]))),
    )


def _levels(values: Floats) -> int:
    return len(np.unique(values[np.isfinite(values)]))


def _differ(values: Floats) -> bool:
    return _levels(values) > 1


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
