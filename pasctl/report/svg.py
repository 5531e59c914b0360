"""SVG as text: elements with escaped attributes, words that fit, and whole figures at two widths."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

WIDE = 820
"""Pixels across a figure beside which a page has room."""
NARROW = 340
"""Pixels across the same figure on a telephone."""

TEXT = 12
"""Pixels of ordinary words in a figure."""
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Figure:
    """A drawing with what is said about it.

    Attributes:
        name: short, for files: lower-case letters, digits and dashes.
        title: what it shows.
        caption: how to read it.
        wide: an <svg> of `WIDE` pixels.
        narrow: an <svg> of `NARROW` pixels of the same data.
    """

    name: str
    title: str
    caption: str
    wide: str
    narrow: str

    @classmethod
    def of(cls, name: str, title: str, caption: str, draw: Callable[[int], Drawing]) -> Figure:
        """A figure of what `draw` draws at a width in pixels."""
        return cls(name, title, caption, draw(WIDE).to_svg(title), draw(NARROW).to_svg(title))


@dataclass(frozen=True)
class Drawing:
    """Elements on a sheet of so many pixels."""

    width: int
    height: float
    elements: list[str]

    def noted(self, text: str) -> Drawing:
        """The same with a line of small words below, for what must be known wherever the drawing goes."""
        below = words(4, self.height + 12, fit(text, self.width - 8, 11), "small")
        return Drawing(self.width, self.height + 18, [*self.elements, below])

    def to_svg(self, title: str) -> str:
        """The <svg> element; its colours come from `theme.figure_css`."""
        return element(
            "svg",
            element("title", escape(title)),
            *self.elements,
            xmlns="http://www.w3.org/2000/svg",
            class_="figure",
            role="img",
            viewBox=f"0 0 {self.width} {_number(self.height)}",
            width=self.width,
            height=self.height,
        )


def element(name: str, *children: str, **attributes: str | float | None) -> str:
    """An element; `class_` is class, an underscore in other names a dash, and None leaves an attribute out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value) if isinstance(value, str) else _number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def words(x: float, y: float, text: str, kind: str = "", *, anchor: str | None = None) -> str:
    """A line of text whose baseline begins at (x, y); anchor "middle" or "end" moves it left."""
    return element("text", escape(text), x=x, y=y, class_=kind or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def box(x: float, y: float, width: float, height: float, kind: str, *, tip: str = "", radius: float = 0) -> str:
    """A rectangle; `tip` shows when a pointer rests on it."""
    inside = [element("title", escape(tip))] if tip else []
    return element("rect", *inside, x=x, y=y, width=width, height=height, class_=kind, rx=radius or None)


def path(points: list[tuple[float, float]], kind: str, *, closed: bool = False) -> str:
    """Straight lines from point to point."""
    steps = " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    return element("path", d=f"M{steps}{' Z' if closed else ''}", class_=kind)


def escape(text: str) -> str:
    """Text for XML and HTML, without the control characters that XML cannot hold."""
    return html.escape(_NO_XML.sub("\ufffd", text))


def text_width(text: str, size: float = TEXT) -> float:
    """About how many pixels a text takes in a sans-serif face; never much too few."""
    return size * sum(1.0 if unicodedata.east_asian_width(each) in "WF" else 0.58 for each in text)


def fit(text: str, width: float, size: float = TEXT) -> str:
    """A text on one line that takes at most `width` pixels, its end cut off if need be."""
    flat = " ".join(text.split())
    if text_width(flat, size) <= width:
        return flat
    while flat and text_width(f"{flat}…", size) > width:
        flat = flat[:-1]
    return f"{flat.rstrip()}…"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
