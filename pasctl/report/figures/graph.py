"""A graph of what was made from what: boxes one under the other, inputs above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pasctl.report.figures.style import BLUE, FAINT, GREY, INK, LINE, PAPER, SMALL, SOFT, WIDE, fit, sheet, styled

_TALL, _BETWEEN = 62.0, 30.0  # pixels of a box, and to the next one
_APART = 34.0  # between groups
_LEAST, _WIDEST = 230.0, 330.0  # pixels across a group
_LANE = 11.0  # between the lines beside the boxes
_BOXES: dict[str, dict[str, Any]] = {
    "": {"facecolor": FAINT, "edgecolor": LINE},
    "given": {"facecolor": PAPER, "edgecolor": BLUE, "linewidth": 1.4},
    "gone": {"facecolor": "none", "edgecolor": SOFT, "linestyle": (0, (4, 3))},
}


@dataclass(frozen=True)
class Node:
    """An artifact.

    Attributes:
        key: its key.
        name: its name, in the words of the store.
        told: what stands under it: key, stage.
        inputs: keys of those that it was made from.
        kind: "given" for one that was asked for, "gone" for one that the store no longer has, else "".
    """

    key: str
    name: str
    told: str
    inputs: tuple[str, ...]
    kind: str = ""


@styled
def graph(nodes: Sequence[Node], *, width: int = WIDE) -> Figure:
    """Groups of what hangs together side by side, as many as there is room for.

    Args:
        nodes: inputs before what was made from them.
        width: pixels.
    """
    groups = _groups(nodes)
    columns = max(1, min(len(groups), int((width + _APART) // (_LEAST + _APART))))
    wide = min(_WIDEST, (width - _APART * (columns - 1)) / columns)
    heights = [2.0] * columns
    placed = []
    for group in groups:
        column = heights.index(min(heights))
        placed.append((group, (wide + _APART) * column + 1, heights[column]))
        heights[column] += (_TALL + _BETWEEN) * len(group)
    height = max(heights) - _BETWEEN + 4
    figure = sheet(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for group, x, y in placed:
        _group(axes, group, x, y, wide - 2)
    return figure


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes that hang together, in the order given."""
    groups: list[list[Node]] = []
    for node in nodes:
        near = [group for group in groups if any(other.key in node.inputs for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([other for group in near for other in group] + [node])
    return groups


def _group(axes: Axes, nodes: Sequence[Node], x: float, y: float, wide: float) -> None:
    """A column of boxes: an arrow to the next one, lines beside the boxes to those further down."""
    place = {node.key: number for number, node in enumerate(nodes)}
    far = {
        node.key: [
            place[other.key] for other in nodes if node.key in other.inputs and place[other.key] > place[node.key] + 1
        ]
        for node in nodes
    }
    lanes = _lanes({place[key]: max(targets) for key, targets in far.items() if targets})
    across = wide - (14 + _LANE * max(lanes.values(), default=0) if lanes else 0)
    for node in nodes:
        number = place[node.key]
        top = y + (_TALL + _BETWEEN) * number
        if any(number + 1 == place[other.key] and node.key in other.inputs for other in nodes):
            _arrow(axes, (x + across / 2, top + _TALL), (x + across / 2, top + _TALL + _BETWEEN))
        lane = x + across + 14 + _LANE * lanes.get(number, 0)
        for target in far[node.key]:
            end = y + (_TALL + _BETWEEN) * target + _TALL * 0.4
            axes.plot([x + across, lane, lane], [top + _TALL * 0.65] * 2 + [end], color=GREY, linewidth=1)
            _arrow(axes, (lane, end), (x + across, end))
        _box(axes, node, x, top, across)


def _lanes(spans: dict[int, int]) -> dict[int, int]:
    """For each first row a lane 0, 1, .. in which no other line runs down to its last row."""
    lanes: dict[int, int] = {}
    for start, stop in spans.items():
        taken = {lane for other, lane in lanes.items() if other <= stop and spans[other] >= start}
        lanes[start] = next(lane for lane in range(len(spans)) if lane not in taken)
    return lanes


def _box(axes: Axes, node: Node, x: float, y: float, wide: float) -> None:
    frame: dict[str, Any] = {"linewidth": 0.8, **_BOXES[node.kind]}
    axes.add_patch(FancyBboxPatch((x, y), wide, _TALL, boxstyle="round,pad=0,rounding_size=6", **frame))
    kind, _, rest = node.name.partition("/")
    room = wide - 22
    axes.text(x + 12, y + 20, fit(kind, room, bold=True), color=INK, weight="bold")
    axes.text(x + 12, y + 36, fit(rest, room), color=INK)
    # a letter of the monospaced face is wider than most of the other
    axes.text(x + 12, y + 52, fit(node.told, room / 1.12, SMALL), fontsize=SMALL, family="monospace")


def _arrow(axes: Axes, start: tuple[float, float], stop: tuple[float, float]) -> None:
    look: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 8,
        "shrinkA": 0,
        "shrinkB": 0,
        "color": GREY,
        "linewidth": 1,
    }
    axes.add_patch(FancyArrowPatch(start, stop, gid="arrow", **look))
