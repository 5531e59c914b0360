"""What is shown: one item with its options, and a profile. Nothing is told by color alone: there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pasctl.inventory.items import Inventory
from pasctl.printable import clean, clean_lines
from pasctl.survey.profile import Population, Score
from pasctl.survey.session import Session

if TYPE_CHECKING:
    from rich.console import RenderableType

KEYS_TOLD = "1-5 answer   b back   s skip   q leave (answers are kept)"
_ASKED = "How well does this describe you?"
_PROGRESS = 20  # characters
_LEAST_BAR, _MOST_BAR = 8, 32  # characters; a bar of less goes on a line of its own


def question(session: Session, inventory: Inventory, told: str = "") -> RenderableType:
    """The item that is asked, with the answer it has; when all are settled, what can be done now."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    total = len(session.order)
    parts: list[RenderableType] = [Text(_progress(session)), Text()]
    if session.done:
        parts += [Text(f"That was the last of {total} items.", style="bold"), Text()]
        keys = "Enter profile   b back"
    else:
        item = inventory.items[inventory.position[session.item]]
        given = session.entries.get(item.id)
        options = Table.grid(padding=(0, 1))
        for key, score, label in choices(inventory, session.item):
            chosen = score == given
            options.add_row(">" if chosen else " ", key, Text(f"{label} (your answer)" if chosen else label))
        parts += [Text(_ASKED), Text(), Text(clean_lines(item.text), style="bold"), Text(), options, Text()]
        if session.settled and given is None:
            parts += [Text("You skipped this one."), Text()]
        keys = KEYS_TOLD + ("   Enter leave it so" if session.settled else "")
    parts.append(Text(keys))
    if told:
        parts.append(Text(clean(told), style="bold"))
    return Group(*parts)


def choices(inventory: Inventory, item: str) -> list[tuple[str, int, str]]:
    """The key, the score and the label of each option of an item, the lowest score first."""
    scale = inventory.scales[inventory.position[item]]
    return [
        (str(key), score, label)
        for key, (score, label) in enumerate(zip(reversed(scale.scores), reversed(scale.labels), strict=True), 1)
    ]


def wrong_key(key: str, session: Session) -> str:
    """A key that means nothing here, and those that do."""
    if key == "forward":
        return "This item is open. " + _valid(session)
    return f"{key!r} is no key here. " + _valid(session)


def _valid(session: Session) -> str:
    if session.done:
        return "Keys: Enter for the profile, b for back."
    return "Keys: 1 to 5, b for back, s for skip, q for leave."


def _progress(session: Session) -> str:
    total = len(session.order)
    settled = total - session.open
    done = _PROGRESS * settled // total
    told = f", {session.skipped} skipped" if session.skipped else ""
    return f"{min(session.at + 1, total)}/{total} [{'#' * done}{'.' * (_PROGRESS - done)}] {settled} settled{told}"


def profile_text(scores: Sequence[Score], population: Population, *, heading: str, width: int) -> str:
    """A profile in lines of at most `width` characters, if that is 30 or more."""
    header = ("mean", "items", "percentile")
    names = [clean(score.name) if score.facet is None else f"  {clean(score.facet)}" for score in scores]
    figures = [_figures(score) for score in scores]
    name_width = max(map(len, names))
    widths = [max(len(row[place]) for row in (header, *figures)) for place in range(len(header))]
    bar = min(_MOST_BAR, width - name_width - sum(widths) - 10)  # four gaps of two, and the two ends of the bar
    wide = bar >= _LEAST_BAR
    lines = [_row("", header, widths, "1" + "5".rjust(bar + 1), name_width)] if wide else []
    for place, (name, row, score) in enumerate(zip(names, figures, scores, strict=True)):
        if score.facet is None and place:
            lines.append("")
        if wide:
            lines.append(_row(name, row, widths, f"[{_bar(score.mean, bar)}]", name_width))
        else:
            mean, items, percentile = row
            lines += [name[:width], f"  {mean:>4} [{_bar(score.mean, _LEAST_BAR)}] {items} P{percentile}"]
    notes = [
        f"mean: keyed score of the answered items, 1 low to 5 high. {'percentile' if wide else 'P, percentile'}: place "
        f"among {population.told}, by the mean of the same items; equal ones count half."
    ]
    if population.simulated:
        notes.append("The built-in inventory has not been validated on people: it shows how a profile works.")
    told = [line for note in notes for line in textwrap.wrap(note, width)]
    return "\n".join([*textwrap.wrap(clean(heading), width), "", *lines, "", *told])


def _row(name: str, figures: Sequence[str], widths: Sequence[int], bar: str, name_width: int) -> str:
    mean, items, percentile = (cell.rjust(width) for cell, width in zip(figures, widths, strict=True))
    return "  ".join([name.ljust(name_width), mean, bar, items, percentile])


def _figures(score: Score) -> tuple[str, str, str]:
    return (
        "-" if score.mean is None else f"{score.mean:.2f}",
        f"{score.answered}/{score.items}",
        "-" if score.percentile is None else f"{score.percentile:.0f}",
    )


def _bar(mean: float | None, width: int) -> str:
    filled = 0 if mean is None else round((mean - 1) / 4 * width)
    return "#" * filled + "." * (width - filled)
