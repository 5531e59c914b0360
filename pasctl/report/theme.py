"""Colours and type, light and dark. Figures name classes only, so that a page and a file of its own look the same.

The palette is safe for colour-blind readers: blue against orange, everything else grey, and never colour alone: marks
and dashes differ too. Heat maps run through one hue, or from orange over neutral to blue where values have a sign.
"""

from __future__ import annotations

SANS = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
STEPS = 10
"""A heat map has the classes s0 .. s10, or d0 .. d10 with d5 at zero."""

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
_SEQUENTIAL = {
    "light": ("#f0f4f8", "#c9dcec", "#8fbadb", "#4d93c6", "#2069a8", "#0c3f75"),
    "dark": ("#1f262d", "#234259", "#2b6690", "#4a93c4", "#93c6ea", "#e2f2fd"),
}
_DIVERGING = {
    "light": ("#a04a06", "#dd8f4d", "#f4d7bb", "#f4f4f2", "#c3d9ec", "#639fd0", "#0f528f"),
    "dark": ("#f5a963", "#b06a2c", "#5b3f28", "#252a30", "#2a455d", "#3f80b5", "#8cc7f2"),
}


def figure_css() -> str:
    """The rules for all figures: light, and dark for those who ask for it."""
    return f"{_rules(LIGHT, 'light')}\n@media screen and (prefers-color-scheme: dark) {{\n{_rules(DARK, 'dark')}\n}}"


def step(share: float) -> int:
    """The class number of a share of a heat map's range."""
    return round(min(max(share, 0.0), 1.0) * STEPS)


def standalone(svg: str, *, dark: bool = True) -> str:
    """An <svg> of a page as a file of its own, which brings its colours along; without `dark` it has the light ones."""
    opened, rest = svg.split(">", 1)
    paper = f".figure{{background:{LIGHT['paper']}}}"
    night = f"@media screen and (prefers-color-scheme: dark){{.figure{{background:{DARK['paper']}}}}}"
    rules = f"{figure_css()}{paper}{night}" if dark else f"{_rules(LIGHT, 'light')}{paper}"
    style = f"<style>{rules}</style>".replace(" > ", " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opened}>{style}{rest}\n'


def _rules(colours: dict[str, str], mode: str) -> str:
    ink, soft, blue, orange = (colours[name] for name in ("ink", "soft", "blue", "orange"))
    rules = [
        f".figure text{{font:12px {SANS};fill:{soft};font-variant-numeric:tabular-nums}}",
        f".figure .label{{fill:{ink}}}",
        f".figure .head{{fill:{ink};font-weight:600}}",
        ".figure .small{font-size:11px}",
        ".figure .tiny{font-size:10px}",
        ".figure .mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:11px}",
        ".figure path,.figure line{fill:none}",
        f".figure .axis{{stroke:{colours['grey']};stroke-width:1}}",
        f".figure .grid{{stroke:{colours['line']};stroke-width:1}}",
        f".figure .guide{{stroke:{soft};stroke-width:1;stroke-dasharray:3 3}}",
        f".figure .stripe{{fill:{colours['faint']}}}",
        f".figure .frame{{fill:none;stroke:{colours['line']}}}",
        f".figure .halo{{paint-order:stroke;stroke:{colours['page']};stroke-width:3px;stroke-linejoin:round}}",
        f".figure .node{{fill:{colours['faint']};stroke:{colours['line']}}}",
        f".figure .node.given{{fill:{colours['paper']};stroke:{blue};stroke-width:1.5}}",
        f".figure .node.gone{{fill:none;stroke:{soft};stroke-dasharray:4 3}}",
        f".figure .edge{{stroke:{colours['grey']};stroke-width:1.25}}",
        f".figure .arrow{{fill:{colours['grey']}}}",
        f".figure .chosen{{fill:none;stroke:{orange};stroke-width:2.5}}",
        f".figure .intended{{fill:none;stroke:{ink};stroke-width:2}}",
        f".figure .bar{{fill:{blue}}}",
        f".figure .range{{fill:{blue};opacity:.28}}",
        f".figure .mean{{stroke:{blue};stroke-width:1.25}}",
        f".figure .flag{{fill:{orange}}}",
        f".figure .flagline{{stroke:{orange};stroke-width:1}}",
    ]
    kinds = {"steered": blue, "oracle": blue, "told": ink, "control": orange, "baseline": colours["grey"]}
    for kind, colour in kinds.items():
        rules += [
            f".figure .whisker.{kind}{{stroke:{colour};stroke-width:1.75}}",
            f".figure .draw.{kind}{{stroke:{colour};stroke-width:1;opacity:.6}}",
            f".figure .thick.{kind}{{stroke:{colour};stroke-width:4;opacity:.35}}",
            f".figure .dot.{kind}{{fill:{colour};stroke:{colour};stroke-width:1.5}}",
            f".figure .line.{kind}{{stroke:{colour};stroke-width:2}}",
            f".figure .band.{kind}{{fill:{colour};opacity:.14}}",
            f".figure .name.{kind}{{fill:{colour};font-weight:600}}",
        ]
    rules.append(f".figure .dot.control,.figure .dot.baseline,.figure .dot.oracle{{fill:{colours['paper']}}}")
    rules.append(".figure .line.dashed{stroke-dasharray:6 4}.figure .line.dotted{stroke-dasharray:2 3}")
    for prefix, anchors in (("s", _SEQUENTIAL[mode]), ("d", _DIVERGING[mode])):
        for number in range(STEPS + 1):
            colour = _between(anchors, number / STEPS)
            rules.append(f".figure .{prefix}{number}{{fill:{colour}}}")
            rules.append(f".figure .on-{prefix}{number}{{fill:{_readable(colour)}}}")
    return "\n".join(rules)


def _between(anchors: tuple[str, ...], share: float) -> str:
    """The colour at a share of the way through some colours."""
    place = share * (len(anchors) - 1)
    number = min(int(place), len(anchors) - 2)
    part = place - number
    pairs = zip(_channels(anchors[number]), _channels(anchors[number + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)


def _readable(colour: str) -> str:
    """Black or white, whichever has more contrast: by WCAG's luminance one of them always has 4.5 to 1."""
    shares = [each / 255 for each in _channels(colour)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
