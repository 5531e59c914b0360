"""A graph of what was made from what: boxes one under the other, inputs above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.report.svg import Drawing, box, element, fit, words

_TALL, _BETWEEN = 62.0, 30.0  # pixels of a box, and to the next one
_APART = 34.0  # between groups
_LEAST, _WIDEST = 230.0, 330.0  # pixels across a group
_LANE = 11.0  # between the lines beside the boxes


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


def graph(nodes: Sequence[Node], *, width: int) -> Drawing:
    """Groups of what hangs together side by side, as many as there is room for.

    Args:
        nodes: inputs before what was made from them.
        width: pixels.
    """
    groups = _groups(nodes)
    columns = max(1, min(len(groups), int((width + _APART) // (_LEAST + _APART))))
    wide = min(_WIDEST, (width - _APART * (columns - 1)) / columns)
    heights = [2.0] * columns
    drawn: list[str] = []
    for group in groups:
        column = heights.index(min(heights))
        drawn += _group(group, (wide + _APART) * column + 1, heights[column], wide - 2)
        heights[column] += (_TALL + _BETWEEN) * len(group)
    return Drawing(width, max(heights) - _BETWEEN + 4, drawn)


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes that hang together, in the order given."""
    groups: list[list[Node]] = []
    for node in nodes:
        near = [group for group in groups if any(each.key in node.inputs for each in group)]
        groups = [group for group in groups if group not in near]
        groups.append([each for group in near for each in group] + [node])
    return groups


def _group(nodes: Sequence[Node], x: float, y: float, wide: float) -> list[str]:
    """A column of boxes: an arrow to the next one, lines beside the boxes to those further down."""
    place = {node.key: number for number, node in enumerate(nodes)}
    far = {
        node.key: [
            place[each.key] for each in nodes if node.key in each.inputs and place[each.key] > place[node.key] + 1
        ]
        for node in nodes
    }
    lanes = _lanes({place[key]: max(targets) for key, targets in far.items() if targets})
    across = wide - (14 + _LANE * max(lanes.values(), default=0) if lanes else 0)
    drawn: list[str] = []
    for node in nodes:
        number = place[node.key]
        top = y + (_TALL + _BETWEEN) * number
        if any(number + 1 == place[each.key] and node.key in each.inputs for each in nodes):
            drawn += _arrow(x + across / 2, top + _TALL, top + _TALL + _BETWEEN)
        if far[node.key]:
            ends = [y + (_TALL + _BETWEEN) * target + _TALL * 0.4 for target in far[node.key]]
            drawn += _beside(x + across, top + _TALL * 0.65, ends, x + across + 14 + _LANE * lanes[number])
        drawn += _box(node, x, top, across)
    return drawn


def _lanes(spans: dict[int, int]) -> dict[int, int]:
    """For each first row a lane 0, 1, .. in which no other line runs down to its last row."""
    lanes: dict[int, int] = {}
    for start, stop in spans.items():
        taken = {lane for other, lane in lanes.items() if other <= stop and spans[other] >= start}
        lanes[start] = next(lane for lane in range(len(spans)) if lane not in taken)
    return lanes


def _box(node: Node, x: float, y: float, wide: float) -> list[str]:
    kind, _, rest = node.name.partition("/")
    return [
        box(x, y, wide, _TALL, f"node {node.kind}".rstrip(), radius=6, tip=f"{node.name} {node.key}"),
        words(x + 12, y + 20, fit(kind, wide - 20), "head"),
        words(x + 12, y + 36, fit(rest, wide - 20), "label small"),
        words(x + 12, y + 52, fit(node.told, wide - 20, 11.5), "mono"),
    ]


def _arrow(x: float, start: float, stop: float) -> list[str]:
    line = element("path", d=f"M{x:.1f} {start:.1f} V{stop - 6:.1f}", class_="edge")
    return [line, element("path", d=f"M{x:.1f} {stop:.1f} l-4 -7 h8 Z", class_="arrow")]


def _beside(x: float, start: float, ends: Sequence[float], lane: float) -> list[str]:
    """A line from a box's right side down a lane, with an arrow into each box further down."""
    drawn = [element("path", d=f"M{x:.1f} {start:.1f} H{lane - 8:.1f} q8 0 8 8 V{max(ends) - 8:.1f}", class_="edge")]
    for end in ends:
        drawn += [element("path", d=f"M{lane:.1f} {end - 8:.1f} q0 8 -8 8 H{x + 6:.1f}", class_="edge")]
        drawn += [element("path", d=f"M{x:.1f} {end:.1f} l7 -4 v8 Z", class_="arrow")]
    return drawn
