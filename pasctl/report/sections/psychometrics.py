"""Psychometrics of a model that answers as a panel of people: a table of means, and one of each trait."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from pasctl.evaluation.intervals import SIGNIFICANT
from pasctl.evaluation.psychometrics.summary import PanelSummary, TraitSummary, panel_summaries
from pasctl.report.blocks import Cell, Table, number
from pasctl.report.sections.labels import label

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows

MOST_NAMED = 5
"""Items that are named in a cell, those that differ most first."""


def psychometrics(rows: Rows) -> tuple[Table, ...]:
    """The tables of an evaluation's panels; none where there are too few respondents."""
    summaries = panel_summaries(rows)
    return (_means(summaries), _traits(summaries)) if summaries else ()


def _means(summaries: list[PanelSummary]) -> Table:
    rows = [
        (
            Cell(_name(summary)),
            Cell(f"{summary.personas:,}"),
            _cell(summary.mean("omega")),
            _cell(summary.mean("alpha")),
            _cell(summary.mean("phi"), note="" if isnan(summary.chance) else f"by chance {number(summary.chance, 2)}"),
            _cell(summary.mean("distance")),
            _percent(summary.mean("share")),
            Cell(f"{summary.different} of {summary.tested}" if summary.tested else number(None)),
        )
        for summary in summaries
    ]
    return Table(
        "Psychometrics of the panel",
        ("condition", "persons", "omega", "alpha", "phi", "W1", "W1 / range", "DIF items"),
        tuple(rows),
        caption=(
            "Means over the traits that have it. Omega (McDonald, one factor) and alpha (Cronbach): how far a trait's "
            "items go together over persons. Phi (Tucker): how much the principal components of the items are those of "
            "the people's answers, both rotated to the traits; 1 is the same. W1: Wasserstein distance of the answers "
            "that the model and the people give to an item, in points and as a share of its range. DIF items: items "
            "that the model answers differently from people who stand at the same place on the trait."
        ),
    )


def _traits(summaries: list[PanelSummary]) -> Table:
    rows = []
    for summary in summaries:
        for place, trait in enumerate(summary.traits):
            rows.append((Cell("" if place else _name(summary)), Cell(trait.trait), *_trait_cells(trait)))
    return Table(
        "Psychometrics on each trait",
        ("condition", "trait", "omega", "alpha", "phi", "W1 / range", "theta", "r", "outfit", "DIF items"),
        tuple(rows),
        left=2,
        caption=(
            "Theta: where the panel stands by a graded response model that is fitted on the people, in their standard "
            "deviations: mean over persons. Small: its standard deviation over persons, and the standard error of one "
            "person. r: correlation of theta with the same persons' own. Outfit: mean squared standardised residual, "
            "median over items; near 1 for people, below 1 where answers follow the trait more strictly. DIF items: "
            "the model's answer less the people's at equal theta, in points of the keyed item, where p is below "
            f"{SIGNIFICANT:g} by Welch's t test and Holm's correction over the panel's items."
        ),
    )


def _trait_cells(trait: TraitSummary) -> tuple[Cell, ...]:
    place = trait.place
    theta = [Cell(number(None))] * 3
    if place is not None:
        spread = f"sd {number(place.deviation, 2)}, se {number(place.error, 2)}"
        theta = [_cell(place.mean, note=spread), _cell(place.correlation), _cell(place.outfit)]
    return (
        _cell(trait.omega),
        _cell(trait.alpha),
        _cell(trait.phi),
        _percent(trait.share),
        *theta,
        _different(trait),
    )


def _different(trait: TraitSummary) -> Cell:
    if not trait.tested:
        return Cell(number(None))
    first = sorted(trait.different, key=lambda each: -abs(each.points))[:MOST_NAMED]
    names = [f"{each.item} {'+' if each.points > 0 else ''}{number(each.points, 2)}" for each in first]
    more = ["..."] if len(trait.different) > MOST_NAMED else []
    return Cell(f"{len(trait.different)} of {trait.tested}", ", ".join([*names, *more]))


def _name(summary: PanelSummary) -> str:
    row = {"reading": summary.reading, "condition": summary.condition, "setting": summary.setting}
    return label(row)


def _cell(value: float, note: str = "") -> Cell:
    return Cell(number(None if isnan(value) else value, 2), note)


def _percent(value: float) -> Cell:
    return Cell(number(None) if isnan(value) else f"{value:.0%}")
