"""What is shown: one item with its options, and a profile. Nothing is told by color alone: there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pasctl.inventory.item import Item
from pasctl.inventory.items import Inventory
from pasctl.inventory.scale import Scale
from pasctl.inventory.wording import ENGLISH
from pasctl.printable import clean, clean_lines
from pasctl.survey.keys import choices, keys_of
from pasctl.survey.profile import Population, Score
from pasctl.survey.session import Session

if TYPE_CHECKING:
    from rich.console import RenderableType

_PROGRESS = 20  # characters
_LEAST_BAR, _MOST_BAR = 8, 32  # characters; a bar of less goes on a line of its own


def question(session: Session, inventory: Inventory, told: str = "") -> RenderableType:
    """The item that is asked, with the answer it has; when all are settled, what can be done now."""
    from rich.console import Group
    from rich.text import Text

    total = len(session.order)
    english = inventory.wording.english
    parts: list[RenderableType] = [Text(_progress(session, in_words=english or session.done)), Text()]
    if session.done:
        parts += [Text(f"That was the last of {total} items.", style="bold"), Text()]
        keys = "Enter profile   b back"
    else:
        item = inventory.items[inventory.position[session.item]]
        scale, given = inventory.scale_of(item), session.entries.get(item.id)
        if asked := asked_of(item, inventory):
            parts += [Text(asked), Text()]
        parts += [Text(clean_lines(item.text), style="bold"), Text(), _options(scale, given, in_words=english), Text()]
        keys = f"{keys_of(scale, '-')} answer   b back   s skip   q leave (answers are kept)"
        if session.settled:
            keys += "   Enter leave it so"
            if given is None:
                parts += [Text("You skipped this one."), Text()] if english else [Text("> s"), Text()]
    parts.append(Text(keys))
    if told:
        parts.append(Text(clean(told), style="bold"))
    return Group(*parts)


def asked_of(item: Item, inventory: Inventory) -> str:
    """The line before an item: the file's own words, or a question that fits; nothing in another language."""
    wording = inventory.wording
    own, usual = (wording.scenario, ENGLISH.scenario) if item.scenario else (wording.statement, ENGLISH.statement)
    if own != usual:
        return clean_lines(own).strip()
    if not wording.english:
        return ""
    if item.scenario:
        return "What would you do?"
    described = wording.instruction == ENGLISH.instruction
    return "How well does this describe you?" if described else "Which answer is true of you?"


def wrong_key(key: str, session: Session, inventory: Inventory) -> str:
    """A key that means nothing here, and those that do."""
    if session.done:
        return f"{key!r} is no key here. Keys: Enter for the profile, b for back."
    scale = inventory.scales[inventory.position[session.item]]
    valid = f"Keys: {keys_of(scale, ' to ')}, b for back, s for skip, q for leave."
    return f"This item is open. {valid}" if key == "forward" else f"{key!r} is no key here. {valid}"


def _options(scale: Scale, given: int | None, *, in_words: bool) -> RenderableType:
    """The options with their keys; several may score what is given, of which the file does not keep which it was."""
    from rich.table import Table
    from rich.text import Text

    options = Table.grid(padding=(0, 1))
    remark = " (your answer)" if scale.scores.count(given) == 1 else " (your answer, or one that counts the same)"
    for choice in choices(scale):
        chosen = choice.score == given
        label = clean_lines(choice.label)
        options.add_row(">" if chosen else " ", choice.key, Text(label + (remark if chosen and in_words else "")))
    return options


def _progress(session: Session, *, in_words: bool) -> str:
    total = len(session.order)
    settled = total - session.open
    done = _PROGRESS * settled // total
    told = (f" {settled} settled" + (f", {session.skipped} skipped" if session.skipped else "")) if in_words else ""
    return f"{min(session.at + 1, total)}/{total} [{'#' * done}{'.' * (_PROGRESS - done)}]{told}"


def profile_text(
    scores: Sequence[Score], population: Population, inventory: Inventory, *, heading: str, width: int
) -> str:
    """A profile in lines of at most `width` characters, if that is 30 or more."""
    low, high = (str(end) for end in (inventory.scale.low, inventory.scale.high))
    header = ("mean", "items", "percentile")
    names = [clean(score.name) if score.facet is None else f"  {clean(score.facet)}" for score in scores]
    figures = [_figures(score) for score in scores]
    name_width = min(max(map(len, names)), max(width // 2, 12))
    names = [name if len(name) <= name_width else f"{name[: name_width - 2]}.." for name in names]
    widths = [max(len(row[place]) for row in (header, *figures)) for place in range(len(header))]
    bar = min(_MOST_BAR, width - name_width - sum(widths) - 10)  # four gaps of two, and the two ends of the bar
    wide = bar >= _LEAST_BAR
    lines = [_row("", header, widths, low + high.rjust(bar + 2 - len(low)), name_width)] if wide else []
    for place, (name, row, score) in enumerate(zip(names, figures, scores, strict=True)):
        if score.facet is None and place:
            lines.append("")
        share = None if score.mean is None else (score.mean - int(low)) / (int(high) - int(low))
        if wide:
            lines.append(_row(name, row, widths, f"[{_bar(share, bar)}]", name_width))
        else:
            mean, items, percentile = row
            lines += [name[:width], f"  {mean:>4} [{_bar(share, _LEAST_BAR)}] {items} P{percentile}"]
    notes = _notes(population, low, high, "percentile" if wide else "P, percentile")
    told = [line for note in notes for line in textwrap.wrap(note, width)]
    return "\n".join([*textwrap.wrap(clean(heading), width), "", *lines, "", *told])


def _notes(population: Population, low: str, high: str, percentile: str) -> list[str]:
    notes = [f"mean: keyed score of the answered items, {low} low to {high} high."]
    if population.norms:
        notes[0] += f" {percentile}: place in a normal distribution with mean and sd of {population.told}."
    elif population.personas is None:
        notes.append(population.told)
    else:
        notes[0] += (
            f" {percentile}: place among {population.told}, by the mean of the same items; equal ones count half."
        )
    if population.simulated:
        notes.append("The built-in inventory has not been validated on people: it shows how a profile works.")
    return [clean(note) for note in notes]


def _row(name: str, figures: Sequence[str], widths: Sequence[int], bar: str, name_width: int) -> str:
    mean, items, percentile = (cell.rjust(width) for cell, width in zip(figures, widths, strict=True))
    return "  ".join([name.ljust(name_width), mean, bar, items, percentile])


def _figures(score: Score) -> tuple[str, str, str]:
    return (
        "-" if score.mean is None else f"{score.mean:.2f}",
        f"{score.answered}/{score.items}",
        "-" if score.percentile is None else f"{score.percentile:.0f}",
    )


def _bar(share: float | None, width: int) -> str:
    filled = 0 if share is None else round(share * width)
    return "#" * filled + "." * (width - filled)
