"""The page: sections, lineage and details as one HTML document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pasctl.report.blocks import NARROW, WIDE, Detail, Drawn, Section
from pasctl.report.encode import svg
from pasctl.report.theme import DARK, LIGHT, SANS, figure_css


@dataclass(frozen=True)
class Page:
    """All that is shown.

    Attributes:
        title: of the document.
        sections: one an artifact, in the order asked for.
        lineage: the graph of what was made from what; None leaves it out.
        details: how each artifact of the graph came about; empty leaves that out.
        version: of pasctl.
    """

    title: str
    sections: tuple[Section, ...]
    lineage: Drawn | None
    details: tuple[Detail, ...]
    version: str

    def figures(self) -> list[tuple[str, Drawn]]:
        """File name without an ending -> figure, in the order of the page."""
        named = []
        for place, section in enumerate(self.sections, 1):
            drawn = [block for block in section.content.blocks if isinstance(block, Drawn)]
            named += [(f"{place:02d}-{section.kind}-{figure.name}", figure) for figure in drawn]
        return [*named, (self.lineage.name, self.lineage)] if self.lineage else named


def render(page: Page) -> str:
    """The page as HTML. It loads nothing: no script, no font, no picture."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn: list[Drawn] = []

    def inline(figure: Drawn, size: str) -> str:
        drawn.append(figure)  # so that each has ids of its own
        width = WIDE if size == "wide" else NARROW
        return svg(figure.draw(width), figure.title, prefix=f"f{len(drawn)}-")

    template = environment.get_template("page.html.jinja")
    return template.render(page=page, light=LIGHT, dark=DARK, sans=SANS, figure_css=figure_css(), svg=inline) + "\n"


def anchors(names: Sequence[str]) -> list[str]:
    """A place's name for each artifact's name."""
    return [f"{place}-{''.join(each if each.isalnum() else '-' for each in name)}" for place, name in enumerate(names)]
