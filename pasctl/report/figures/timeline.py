"""Surprise along a text, and where events begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasctl.report.scale import Scale
from pasctl.report.svg import Drawing, box, element, line, path, words
from pasctl.report.thin import Floats, thin

_APART = 5.0  # pixels from which on events are drawn one by one
_BAR = 1.2  # and tokens


def timeline(
    surprise: Floats,
    starts: Sequence[int],
    *,
    first: int = 0,
    flags: Sequence[int] = (),
    width: int,
    height: int = 150,
) -> Drawing:
    """A stretch of a text: per pixel the range and the mean of the surprise; below, the events.

    Args:
        surprise: of each token in nats [N].
        starts: first token of each event, rising, counted from the text's beginning.
        first: the stretch's first token.
        flags: tokens that get a number, 1, 2, ..
        width: pixels.
        height: pixels of the upper part.
    """
    left, right, top = 42.0, width - 8.0, 42.0 if flags else 26.0
    stop = first + len(surprise)
    across = Scale(first, stop, left, right)
    up = Scale(0.0, max(float(surprise.max()) * 1.05, 1.0), top + height, top)
    drawn = [words(0, 12, "surprise in nats", "small")]
    for value, told in up.ticks(4):
        drawn += [line(left, up(value), right, up(value), "grid"), words(left - 6, up(value) + 4, told, anchor="end")]
    drawn += _surprise(surprise, set(starts), across, up, first)
    for number, token in enumerate(flags, 1):
        if first <= token < stop:
            x, y = across(token + 0.5), up(float(surprise[token - first]))
            drawn += [line(x, y, x, top - 4, "flagline"), element("circle", cx=x, cy=y, r=2.5, class_="flag")]
            drawn += [words(x, top - 8, str(number), "label tiny", anchor="middle")]
    inside = [each for each in starts if first <= each < stop]
    below = top + height + 6
    drawn += _events(inside, across, below, stop)
    drawn += [words(left - 6, below + 11, "events", "tiny", anchor="end")]
    drawn += [line(left, top + height, right, top + height, "axis")]
    for value, told in across.ticks(4 if width < 500 else 8):
        drawn += [words(min(across(value), right - 10), below + 32, told, anchor="middle")]
    drawn += [words((left + right) / 2, below + 50, "token of the text", anchor="middle")]
    return Drawing(width, below + 58, drawn)


def _surprise(surprise: Floats, starts: set[int], across: Scale, up: Scale, first: int) -> list[str]:
    """Bars a token while they are some pixels wide, dark where events begin; else the range per pixel, and the mean."""
    room = across.stop - across.start
    if room / len(surprise) >= _BAR:
        wide, drawn = room / len(surprise) * 0.72, []
        for token, value in enumerate(surprise.tolist(), first):
            kind = "bar" if token in starts else "range"
            drawn += [box(across(token), up(value), wide, up.start - up(value), kind)]
        return drawn
    fine, coarse = thin(surprise, int(room)), thin(surprise, int(room / 4))
    edge = [(across(first + int(at)), up(float(value))) for at, value in zip(fine.edges, fine.high, strict=False)]
    back = [(across(first + int(at)), up(float(value))) for at, value in zip(fine.edges, fine.low, strict=False)]
    middles = (coarse.edges[:-1] + coarse.edges[1:]) / 2
    mean = [(across(first + float(at)), up(float(value))) for at, value in zip(middles, coarse.mean, strict=True)]
    return [path(edge + back[::-1], "range", closed=True), path(mean, "mean")]


def _events(starts: Sequence[int], across: Scale, y: float, stop: int) -> list[str]:
    """Events as boxes, two shades in turn; where they are too many, how many begin in each few pixels."""
    room = across.stop - across.start
    if not starts:
        return []
    if room / len(starts) >= _APART:
        ends = [*starts[1:], stop]
        return [
            box(across(start), y, max(across(end) - across(start) - 0.75, 0.5), 14, "s7" if n % 2 else "s4")
            for n, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]
    pieces = int(room / 6)
    counts, _ = np.histogram(starts, bins=pieces, range=(across.low, across.high))
    most = int(counts.max())
    return [
        box(across.start + room / pieces * n, y, room / pieces, 14, f"s{round(10 * count / most)}")
        for n, count in enumerate(counts.tolist())
    ]
