"""Which events of a memory each layer fetched for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.report.scale import Scale
from pasctl.report.svg import Drawing, box, line, words

_ROW = 13.0


@dataclass(frozen=True)
class Fetched:
    """An event that a layer fetched, in what share of the steps, and with what score at best."""

    layer: int
    event: int
    share: float
    score: float


def recall_map(fetched: Sequence[Fetched], *, layers: Sequence[int], events: int, width: int) -> Drawing:
    """A row a layer, the text's events from its beginning on the left to its end.

    Args:
        fetched: what was fetched.
        layers: the rows.
        events: how many there are.
        width: pixels.
    """
    row = _ROW if len(layers) <= 24 else 9.0
    left, right, top = 34.0, width - 8.0, 22.0
    across = Scale(0, max(events, 1), left, right)
    wide = max((right - left) / max(events, 1) - 0.5, 2.5)
    place = {layer: number for number, layer in enumerate(layers)}
    drawn = [words(0, 12, "layer ↓ · event of the text →", "small")]
    drawn += [box(left, top + row * number, right - left, row - 1.5, "stripe") for number in range(len(layers))]
    for each in sorted(fetched, key=lambda one: one.share):
        x, y = min(across(each.event), right - wide), top + row * place[each.layer]
        shade = f"s{3 + round(7 * each.share)}"
        tip = f"layer {each.layer}, event {each.event:,}: in {each.share:.0%} of steps, score {each.score:.2f} at best"
        drawn += [box(x, y, wide, row - 1.5, shade, tip=tip)]
    bottom = top + row * len(layers)
    every = 1 if row >= 12 else 2
    for number in range(0, len(layers), every):
        drawn += [words(left - 6, top + row * number + row - 3, str(layers[number]), "tiny", anchor="end")]
    drawn += [line(left, bottom + 2, right, bottom + 2, "axis")]
    for value, told in across.ticks(4 if width < 500 else 8):
        if value == int(value):
            drawn += [words(min(across(value), right - 10), bottom + 18, told, anchor="middle")]
    return Drawing(width, bottom + 24, drawn)
