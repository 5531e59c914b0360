"""Small panels side by side: what a model answers where a person answers 1, 2, .. 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.report.figures.forest import point
from pasctl.report.scale import Scale
from pasctl.report.svg import Drawing, box, fit, line, path, words

_LEVELS = (1, 2, 3, 4, 5)
_LEAST = 150  # pixels that a panel needs


@dataclass(frozen=True)
class Spread:
    """The model's expected answers where the person gave one answer.

    Attributes:
        level: the person's agreement.
        mean: of the model's.
        middle: quartiles.
        most: what nine tenths of the answers lie above, and below.
    """

    level: float
    mean: float
    middle: tuple[float, float]
    most: tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One condition and its strength, if it has one; kind is steered, told, control or baseline."""

    label: str
    strength: str
    kind: str
    spreads: tuple[Spread, ...]


def panels(shown: Sequence[Panel], *, width: int) -> Drawing:
    """Panels in rows, as many beside each other as there is room for."""
    columns = max(min(width // _LEAST, len(shown)), 2)
    across = width / columns
    second = 14.0 if any(each.strength for each in shown) else 0.0  # pixels of a second line over the panels
    side, left, top = min(across - 34, 170.0), 22.0, 24.0 + second
    tall = side + 54 + second
    drawn: list[str] = []
    for place, panel in enumerate(shown):
        x, y = across * (place % columns) + left, tall * (place // columns) + top
        drawn += [words(x, y - 9 - (second if panel.strength else 0.0), fit(panel.label, across - 26), "head small")]
        drawn += [words(x, y - 9, panel.strength, "label small")] if panel.strength else []
        drawn += _panel(panel, x, y, side, named=place == 0)
    return Drawing(width, tall * -(-len(shown) // columns), drawn)


def _panel(panel: Panel, x: float, y: float, side: float, *, named: bool) -> list[str]:
    across, up = Scale(0.5, 5.5, x, x + side), Scale(0.5, 5.5, y + side, y)
    drawn = [box(x, y, side, side, "frame"), line(across(0.5), up(0.5), across(5.5), up(5.5), "guide")]
    for level in _LEVELS:
        drawn += [words(across(level), y + side + 14, str(level), "tiny", anchor="middle")]
        drawn += [words(x - 6, up(level) + 3.5, str(level), "tiny", anchor="end")]
    for each in panel.spreads:
        at = across(each.level)
        drawn += [line(at, up(each.most[0]), at, up(each.most[1]), f"whisker {panel.kind}")]
        drawn += [line(at, up(each.middle[0]), at, up(each.middle[1]), f"thick {panel.kind}")]
    drawn += [path([(across(each.level), up(each.mean)) for each in panel.spreads], f"line {panel.kind} dotted")]
    drawn += [point(across(each.level), up(each.mean), panel.kind, radius=3.5) for each in panel.spreads]
    if named:
        drawn += [words(across(3), y + side + 27, "person's agreement", "tiny", anchor="middle")]
        drawn += [words(across(0.7), up(5.1), "model's answer", "tiny")]
    return drawn
