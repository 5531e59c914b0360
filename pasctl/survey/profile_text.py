"""A profile in lines of text. Nothing is told by color alone: there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pasctl.inventory.items import Inventory
from pasctl.inventory.scale import Scale
from pasctl.printable import clean
from pasctl.survey.population import Population
from pasctl.survey.profile import Score

_LEAST_BAR, _MOST_BAR = 8, 32  # characters; a bar of less goes on a line of its own


def profile_text(
    scores: Sequence[Score], population: Population, inventory: Inventory, *, heading: str, width: int
) -> str:
    """A profile in lines of at most `width` columns of a terminal, if that is 30 or more."""
    from rich.cells import cell_len

    in_facets = any(score.facet is not None for score in scores)
    header, scale = ("mean", "items", "percentile"), inventory.scale
    names = [clean(score.name) if score.facet is None else f"  {clean(score.facet)}" for score in scores]
    figures = [_figures(score) for score in scores]
    name_width = max(map(cell_len, names))
    widths = [max(len(row[place]) for row in (header, *figures)) for place in range(len(header))]
    bar = min(_MOST_BAR, width - name_width - sum(widths) - 10)  # four gaps of two, and the two ends of the bar
    wide = bar >= _LEAST_BAR
    ends = f"{scale.low}{str(scale.high).rjust(bar + 2 - len(str(scale.low)))}"
    lines = [_row("", header, widths, ends, name_width)] if wide else []
    for place, (name, row, score) in enumerate(zip(names, figures, scores, strict=True)):
        if score.facet is None and place and in_facets:
            lines.append("")
        if wide:
            lines.append(_row(name, row, widths, f"[{_bar(score.mean, scale, bar)}]", name_width))
        else:
            lines += _narrow(name, row, score, scale, width)
    notes = [line for note in _notes(scores, population, inventory, wide=wide) for line in _wrapped(note, width)]
    return "\n".join([*_wrapped(clean(heading), width), "", *lines, "", *notes])


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words: names with hyphens stay together."""
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _notes(scores: Sequence[Score], population: Population, inventory: Inventory, *, wide: bool) -> list[str]:
    """What the figures mean, a paragraph each."""
    scale = inventory.scale
    meaning = f"mean: keyed score of the answered items, {scale.low} low to {scale.high} high."
    if not inventory.uniform:
        meaning += " Items with options of their own are brought to this scale."
    if population.told:
        meaning += f" {'percentile' if wide else 'P, percentile'}: {_compared(population)}"
    notes = [meaning]
    if population.absent:
        notes.append(population.absent)
    if population.norms and any(_is_part(score, inventory) for score in scores):
        notes.append("Norms are of whole traits: a percentile from a part of the items is less certain.")
    if population.simulated:
        notes.append("The built-in inventory has not been validated on people: it shows how a profile works.")
    return notes


def _compared(population: Population) -> str:
    if population.norms:
        return f"share of people below, in a normal distribution with mean and sd of {population.told}."
    return f"place among {population.told}, by the mean of the same items; equal ones count half."


def _is_part(score: Score, inventory: Inventory) -> bool:
    """Whether a percentile is of fewer items than its trait has."""
    return score.percentile is not None and score.answered < inventory.traits.count(score.trait)


def _row(name: str, figures: Sequence[str], widths: Sequence[int], bar: str, name_width: int) -> str:
    from rich.cells import set_cell_size

    mean, items, percentile = (cell.rjust(width) for cell, width in zip(figures, widths, strict=True))
    return "  ".join([set_cell_size(name, name_width), mean, bar, items, percentile])


def _narrow(name: str, figures: Sequence[str], score: Score, scale: Scale, width: int) -> list[str]:
    """A name, and below it its figures."""
    from rich.cells import set_cell_size

    mean, items, percentile = figures
    bar = min(_LEAST_BAR, width - len(f"  {mean:>4} [] {items} P{percentile}"))
    shown = f" [{_bar(score.mean, scale, bar)}]" if bar > 0 else ""
    return [set_cell_size(name, width).rstrip(), f"  {mean:>4}{shown} {items} P{percentile}"]


def _figures(score: Score) -> tuple[str, str, str]:
    return (
        "-" if score.mean is None else f"{score.mean:.2f}",
        f"{score.answered}/{score.items}",
        "-" if score.percentile is None else f"{score.percentile:.0f}",
    )


def _bar(mean: float | None, scale: Scale, width: int) -> str:
    filled = 0 if mean is None else round((mean - scale.low) / (scale.high - scale.low) * width)
    return "#" * filled + "." * (width - filled)
