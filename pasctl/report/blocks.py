"""What a page consists of; all texts are plain and are escaped where they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE = 820
"""Pixels across a figure beside which a page has room."""
NARROW = 340
"""Pixels across the same figure on a telephone."""


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes:
        text: what stands there.
        note: smaller, beside it: an interval.
        mark: whether it stands out.
    """

    text: str
    note: str = ""
    mark: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first `left` columns are words, the others numbers.

    `beside`: notes stand beside texts. `broken`: names in the head are long and may take several lines.
    """

    block: ClassVar[str] = "table"
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    beside: bool = False
    broken: bool = False
    caption: str = ""


@dataclass(frozen=True)
class Exchange:
    """A question, its answer, and a remark."""

    block: ClassVar[str] = "exchange"
    question: str
    answer: str
    told: str


@dataclass(frozen=True)
class Drawn:
    """A figure in its place.

    Attributes:
        name: short, for files: lower-case letters, digits and dashes.
        title: what it shows.
        caption: how to read it.
        draw: draws it at a width in pixels.
    """

    block: ClassVar[str] = "figure"
    name: str
    title: str
    caption: str
    draw: Callable[[int], Figure]


Block = Table | Exchange | Drawn


@dataclass(frozen=True)
class Content:
    """What a section says about one artifact.

    Attributes:
        lead: sentences at its beginning.
        facts: (what, how much).
        blocks: tables, figures, answers in their order.
    """

    lead: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Section:
    """An artifact's part of the page: kind and the rest of its name, and the place that links go to."""

    anchor: str
    kind: str
    name: str
    content: Content


@dataclass(frozen=True)
class Detail:
    """How one artifact came about.

    Attributes:
        name: of the artifact.
        key: all of it.
        groups: heading -> (name, value) pairs.
        command: what makes it again; empty if its manifest does not tell all of that.
        why: why there is no command, or what stands for what in it.
    """

    name: str
    key: str
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    command: str
    why: str


def number(value: float | None, digits: int = 3) -> str:
    """A number as text, a dash for none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    # what rounds to zero has no sign
    return text.replace("-", "" if float(text) == 0 else "\N{MINUS SIGN}")


def interval(bounds: list[float] | None, digits: int = 2) -> str:
    """The ends of an interval as text, nothing for none."""
    return "" if bounds is None else f"{number(bounds[0], digits)} to {number(bounds[1], digits)}"


def shortened(text: str, most: int) -> str:
    """A text on one line of at most so many letters, its end cut off if need be."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1].rstrip()}…"


def size(count: float) -> str:
    """Bytes as text."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
