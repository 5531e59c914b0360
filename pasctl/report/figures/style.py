"""What all figures have in common: sheets, sizes of type, colours, marks, and words that fit."""

from __future__ import annotations

import json
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from pasctl.report.blocks import WIDE as WIDE
from pasctl.report.theme import LIGHT

DPI = 96  # a pixel of a page
TEXT, SMALL, TINY = 9.0, 8.25, 7.5  # points: 12, 11 and 10 pixels
INK, SOFT, LINE, FAINT = (LIGHT[name] for name in ("ink", "soft", "line", "faint"))
BLUE, ORANGE, GREY, PAPER = (LIGHT[name] for name in ("blue", "orange", "grey", "paper"))
COLOURS = {"steered": BLUE, "oracle": BLUE, "told": INK, "control": ORANGE, "baseline": GREY}
"""Of each kind of row."""
DASHES: dict[str, Any] = {"": "solid", "dashed": (0, (5, 3)), "dotted": (0, (1.5, 2))}
TIPS = "tips:"
"""Begins the id of cells that have words for a pointer that rests on them; JSON follows."""
_RC: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.monospace": ["DejaVu Sans Mono"],
    "font.size": TEXT,
    "text.color": SOFT,
    "text.parse_math": False,
    "axes.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.labelcolor": SOFT,
    "axes.labelsize": TEXT,
    "axes.titlesize": SMALL,
    "axes.titlecolor": SOFT,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "ytick.left": False,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "grid.color": LINE,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "legend.labelcolor": INK,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
    "svg.fonttype": "none",
    "svg.hashsalt": "pasctl",
    "pdf.fonttype": 42,
}
_LOCK = threading.RLock()
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for figures, the same whatever a user's own are; one thread at a time has them."""
    settings: Any = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    settings.update(_RC)
    with _LOCK, mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a page has other faces
        yield


def styled(draw: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """The function, in that style."""

    @wraps(draw)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        with style():
            return draw(*args, **kwargs)

    return drawn


class Sheet(Figure):
    """A figure that notebooks show, with no plotting backend of theirs."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        with style():
            self.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()


def sheet(width: float, height: float, layout: Any = "constrained") -> Figure:
    """An empty figure of so many pixels of a page."""
    return Sheet(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER, layout=layout)


def note_below(figure: Figure, text: str) -> None:
    """A line of small words at the foot, for what must be known wherever the figure goes."""
    if text:
        room = figure.get_figwidth() * DPI - 8
        figure.supxlabel(fit(text, room, SMALL), x=0.01, ha="left", fontsize=SMALL, color=SOFT)


def mark(kind: str, size: float = 6.5) -> dict[str, Any]:
    """How a point is drawn: a disc, a ring for a control and for an upper bound, a diamond for a baseline."""
    return {
        "marker": "D" if kind == "baseline" else "o",
        "markersize": size * (0.85 if kind == "baseline" else 1.0),
        "markeredgecolor": COLOURS[kind],
        "markerfacecolor": COLOURS[kind] if kind in ("steered", "told") else PAPER,
        "markeredgewidth": 1.2,
    }


def cells(
    axes: Axes, boxes: Sequence[tuple[float, float, float, float]], colours: Sequence[str], tips: Sequence[str] = ()
) -> None:
    """Rectangles (left, top, width, height) in colours, with words for a pointer that rests on them."""
    corners = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in boxes]
    drawn = PolyCollection(corners, facecolors=colours, edgecolors="none")
    drawn.set_gid(TIPS + json.dumps(tips, ensure_ascii=False) if tips else None)
    axes.add_collection(drawn)


def text_width(text: str, size: float = TEXT, *, bold: bool = False) -> float:
    """How many pixels a line of text takes."""
    return _points(text, bold) * size / 10 * DPI / 72


@lru_cache(maxsize=4096)
def _points(text: str, bold: bool) -> float:
    """Points across a text of 10 points."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=10)
    across, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    # letters that the face lacks are as wide as high wherever they are shown
    return float(across) + 4.0 * sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def fit(text: str, width: float, size: float = TEXT, *, bold: bool = False) -> str:
    """A text on one line that takes at most `width` pixels, its end cut off if need be."""
    flat = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    if text_width(flat, size, bold=bold) <= width:
        return flat
    low, high = 0, len(flat)
    while low < high:
        middle = (low + high + 1) // 2
        fits = text_width(f"{flat[:middle]}…", size, bold=bold) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{flat[:low].rstrip()}…"


def thinned(labels: Sequence[tuple[float, str]], per_unit: float, size: float = TEXT) -> list[str]:
    """The labels of rising places, without those that would touch the one before; a unit has so many pixels."""
    shown, free = [], float("-inf")
    for place, label in labels:
        half = text_width(label, size) / 2
        fits = place * per_unit - half >= free
        free = place * per_unit + half + 6 if fits else free
        shown.append(label if fits else "")
    return shown


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved as little as a simple pass allows until they are `gap` apart, in the same order, inside a range."""
    order = sorted(range(len(places)), key=lambda number: places[number])
    moved = [places[number] for number in order]
    least = low
    for place in range(len(moved)):
        moved[place] = max(moved[place], least)
        least = moved[place] + gap
    limit = high
    for place in reversed(range(len(moved))):
        moved[place] = max(min(moved[place], limit), low)
        limit = moved[place] - gap
    spread = [0.0] * len(places)
    for place, number in enumerate(order):
        spread[number] = moved[place]
    return spread
