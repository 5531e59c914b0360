"""Colours and type, light and dark. Figures are drawn in the light colours; rules of style change them for the dark.

The palette is safe for colour-blind readers: blue against orange, everything else grey, and never colour alone: marks
and dashes differ too. Heat maps run through one hue, or from orange over neutral to blue where values have a sign.
"""

from __future__ import annotations

SANS = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
STEPS = 10
"""A heat map has the shades 0 .. 10; of those with two hues, 5 is zero."""

LIGHT = {
    "paper": "#ffffff",
    "page": "#fbfbf9",
    "ink": "#1d2730",
    "soft": "#5c6873",
    "line": "#d9dee2",
    "faint": "#f1f3f4",
    "blue": "#1764a8",
    "orange": "#c05c0a",
    "grey": "#75818b",
}
DARK = {
    "paper": "#171b20",
    "page": "#121519",
    "ink": "#e3e8ec",
    "soft": "#9aa6b0",
    "line": "#333b43",
    "faint": "#1f252b",
    "blue": "#6db3ea",
    "orange": "#f0a058",
    "grey": "#8a96a0",
}
_ANCHORS = {
    "s": (
        ("#f0f4f8", "#c9dcec", "#8fbadb", "#4d93c6", "#2069a8", "#0c3f75"),
        ("#1f262d", "#234259", "#2b6690", "#4a93c4", "#93c6ea", "#e2f2fd"),
    ),
    "d": (
        ("#a04a06", "#dd8f4d", "#f4d7bb", "#f4f4f2", "#c3d9ec", "#639fd0", "#0f528f"),
        ("#f5a963", "#b06a2c", "#5b3f28", "#252a30", "#2a455d", "#3f80b5", "#8cc7f2"),
    ),
}


def shades(scale: str, *, dark: bool = False) -> list[str]:
    """The colours of a heat map, `STEPS` + 1: of scale "s", one hue, or "d", two hues from a middle."""
    anchors = _ANCHORS[scale][dark]
    return [_between(anchors, number / STEPS) for number in range(STEPS + 1)]


def on_shades(scale: str, *, dark: bool = False) -> list[str]:
    """The colours of numbers on those shades: black or white.

    Black and white of the light theme differ by a trace from shade to shade, so that a rule of style can tell them
    apart: what is black on a light shade may have to be white on the dark one.
    """
    found = []
    for number, shade in enumerate(shades(scale, dark=dark)):
        black = _black_is_readable(shade)
        trace = f"{'sd'.index(scale):x}{number:x}" if black else f"{15 - 'sd'.index(scale):x}{15 - number:x}"
        found.append(("#000000" if black else "#ffffff") if dark else (f"#0001{trace}" if black else f"#fffe{trace}"))
    return found


def pairs() -> list[tuple[str, str]]:
    """Each colour that a figure may have, and what stands for it in the dark."""
    found = [(LIGHT[name], DARK[name]) for name in LIGHT]
    for scale in _ANCHORS:
        for colours in (shades, on_shades):
            found += zip(colours(scale), colours(scale, dark=True), strict=True)
    return found


def figure_css() -> str:
    """The rules for all figures: what their colours are for those who ask for dark ones."""
    # without an ancestor in the selector: marks are drawn by <use>, whose copies have none
    rules = [
        f'[style*="{what}: {light}"]{{{what}:{dark} !important}}'
        for light, dark in pairs()
        for what in ("fill", "stroke")
    ]
    return "@media screen and (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}"


def step(share: float) -> int:
    """The number of the shade at a share of a heat map's range."""
    return round(min(max(share, 0.0), 1.0) * STEPS)


def _between(anchors: tuple[str, ...], share: float) -> str:
    """The colour at a share of the way through some colours."""
    place = share * (len(anchors) - 1)
    number = min(int(place), len(anchors) - 2)
    part = place - number
    ends = zip(_channels(anchors[number]), _channels(anchors[number + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in ends)


def _black_is_readable(colour: str) -> bool:
    """Whether black has more contrast than white: by WCAG's luminance one of them always has 4.5 to 1."""
    shares = [channel / 255 for channel in _channels(colour)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (luminance + 0.05) ** 2 > 1.05 * 0.05


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
