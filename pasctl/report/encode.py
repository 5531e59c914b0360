"""Figures as bytes: SVG that takes its colours and its face from a page, PNG, PDF. The same figure, the same bytes."""

from __future__ import annotations

import io
import json
import re
from typing import Any
from xml.etree import ElementTree

from matplotlib.figure import Figure

from pasctl.report.figures.style import DPI, PAPER, TIPS, style
from pasctl.report.theme import MONO, SANS, figure_css

ZOOM = 2
"""Pixels of a PNG for each of a page."""
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FINE = re.compile(r"(\.\d\d)\d+")
_POINTED = re.compile(r"(?<=#)([\w-]+)")


def svg(figure: Figure, title: str, about: str = "", *, prefix: str = "", paper: bool = False) -> str:
    """A figure as an <svg> element with text as text; a page needs `theme.figure_css` for its dark colours.

    Args:
        figure: the figure.
        title: what it shows, for those who hear it.
        about: more of that.
        prefix: begins its ids; on one page no two figures may have the same.
        paper: whether it has a background of its own.
    """
    written = io.StringIO()
    with style():
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", facecolor=PAPER if paper else "none", metadata=nothing)
    root = ElementTree.fromstring(_NO_XML.sub("\ufffd", written.getvalue()))  # noqa: S314 - just written here
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag.endswith("}metadata")]:
            parent.remove(child)
    for element in list(root.iter()):
        _plain(element, prefix)
    root.attrib |= {"xmlns": "http://www.w3.org/2000/svg", "class": "figure", "role": "img"}
    del root.attrib["version"]
    for name, text in (("desc", about), ("title", title)):
        if text:
            root.insert(0, ElementTree.Element(name))
            root[0].text = _NO_XML.sub("\ufffd", text)
    for element in root.iter():
        element.tail = None
        element.text = element.text if element.tag in ("title", "desc", "text", "tspan") else None
    return ElementTree.tostring(root, encoding="unicode")


def standalone(figure: Figure, title: str, about: str = "") -> str:
    """A figure as an SVG file of its own, which brings its dark colours along; plain viewers show the light ones."""
    opened, rest = svg(figure, title, about, paper=True).split(">", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opened}><style>{figure_css()}</style>{rest}\n'


def png(figure: Figure) -> bytes:
    """A figure in light colours as the bytes of a PNG, `ZOOM` pixels for each of a page."""
    return _saved(figure, "png", dpi=ZOOM * DPI, metadata={"Software": None})


def pdf(figure: Figure) -> bytes:
    """A figure in light colours as the bytes of a PDF, its text as text."""
    return _saved(figure, "pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})


def _saved(figure: Figure, ending: str, **how: Any) -> bytes:
    written = io.BytesIO()
    with style():
        figure.savefig(written, format=ending, facecolor=PAPER, **how)
    return written.getvalue()


def _plain(element: ElementTree.Element, prefix: str) -> None:
    """Take the names of matplotlib's own away: of its elements, its faces, and its ids where nothing points to them."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    own = attributes.pop("id", "")
    if own.startswith(TIPS):
        _add_tips(element, json.loads(own.removeprefix(TIPS)))
    elif element.tag in ("path", "clipPath") or (own.startswith(("m", "p")) and element.tag != "g"):
        attributes |= {"id": prefix + own} if own else {}
    for name in ("href", "clip-path"):
        if name in attributes:
            attributes[name] = _POINTED.sub(lambda found: prefix + found[1], attributes[name])
    for name in attributes.keys() & {"d", "x", "y", "transform", "width", "height"}:
        attributes[name] = _FINE.sub(r"\1", " ".join(attributes[name].split()))  # a hundredth of a pixel is enough
    if element.tag in ("text", "tspan") and "style" in attributes:
        attributes["style"] = _face(attributes["style"])
    element.attrib.clear()
    element.attrib |= attributes


def _face(told: str) -> str:
    """A text's style with the faces of a page for the one that its width was measured with."""
    faces = (MONO if "Mono" in told else SANS).replace('"', "'")
    return re.sub(r"'DejaVu Sans.*?(sans-serif|monospace|(?=;|$))", lambda found: faces, told, count=1)


def _add_tips(group: ElementTree.Element, tips: list[str]) -> None:
    """Words for a pointer that rests on a cell, in the order in which the cells were drawn."""
    defined = {child for each in group.iter() if each.tag.endswith("defs") for child in each.iter()}
    drawn = [each for each in group.iter() if each.tag.rpartition("}")[2] in ("path", "use") and each not in defined]
    for cell, tip in zip(drawn, tips, strict=True):
        ElementTree.SubElement(cell, "title").text = _NO_XML.sub("\ufffd", tip)
