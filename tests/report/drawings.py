"""What a figure shows, read back from its artists."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text

from pasctl.report.blocks import Content, Drawn
from pasctl.report.figures.style import COLOURS, PAPER, TIPS
from pasctl.report.theme import shades


def figures(content: Content) -> dict[str, Drawn]:
    return {block.name: block for block in content.blocks if isinstance(block, Drawn)}


def lines(figure: Figure, gid: str) -> list[Line2D]:
    return [line for line in figure.findobj(Line2D) if line.get_gid() == gid]


def kind(line: Line2D) -> str:
    """Which kind of row a mark stands for, by how it looks."""
    if line.get_marker() == "D":
        return "baseline"
    edge, hollow = to_hex(line.get_markeredgecolor()), to_hex(line.get_markerfacecolor()) == PAPER
    names = [name for name, colour in COLOURS.items() if colour == edge and name != "baseline"]
    return next(name for name in names if (name in ("oracle", "control")) == hollow)


def kinds(figure: Figure, gid: str = "mean") -> Counter[str]:
    return Counter(kind(line) for line in lines(figure, gid) for _ in line.get_xdata())


def words(figure: Figure) -> list[str]:
    """All texts, in the order in which they were made."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def cells(figure: Figure, colours: str = "s") -> list[tuple[int, str]]:
    """The number of the shade, and the words, of each cell that has words for a pointer."""
    found = []
    for drawn in figure.findobj(PolyCollection):
        if str(drawn.get_gid()).startswith(TIPS):
            tips = json.loads(str(drawn.get_gid()).removeprefix(TIPS))
            found += [
                (shades(colours).index(to_hex(colour)), tip)
                for colour, tip in zip(drawn.get_facecolor(), tips, strict=True)
            ]
    return found


def frames(figure: Figure) -> list[tuple[int, int]]:
    """Row and column of each cell with a frame."""
    framed = [patch for patch in figure.findobj(Rectangle) if not patch.get_fill() and patch.get_width() <= 1]
    return sorted((int(patch.get_y()), int(patch.get_x())) for patch in framed)


def boxes(figure: Figure) -> list[tuple[str, Any]]:
    """Each text that is drawn, with its place in pixels, once all is laid out."""
    found: list[tuple[str, Any]] = []
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    with _watched(found):
        canvas.draw()
    return found


@contextmanager
def _watched(found: list[tuple[str, Any]]) -> Iterator[None]:
    draw = Text.draw

    def watch(text: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if text.get_visible() and text.get_text().strip():
            found.append((text.get_text(), Text.get_window_extent(text, renderer)))
        draw(text, renderer, *args, **kwargs)

    drawn = Annotation.draw
    Text.draw = watch  # type: ignore[method-assign]
    try:
        yield
    finally:
        Text.draw, Annotation.draw = draw, drawn  # type: ignore[method-assign]


def faults(figure: Figure) -> list[str]:
    """Texts that lie on each other, and texts that leave the sheet."""
    placed = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    found = [
        f"{text!r} leaves the sheet"
        for text, box in placed
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    for (first, a), (second, b) in itertools.combinations(placed, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > 1 and down > 2:
            found.append(f"{first!r} on {second!r}")
    return found


def values(figure: Figure, gid: str) -> list[tuple[float, float]]:
    """(x, y) of all points of the lines of that name."""
    return [(float(x), float(y)) for line in lines(figure, gid) for x, y in np.asarray(line.get_xydata())]
