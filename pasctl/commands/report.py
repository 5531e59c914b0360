"""`pasctl report`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import WithFigures
from pasctl.declaration import Declaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class Report(
    WithFigures,
    Declaration,
    command="report",
    panel="Results",
    place=1,
    examples=("pasctl report latest --output page.html", "pasctl report latest --output page.html --svg ."),
):
    """Write a page with figures and tables of artifacts, and how they were made; no model is loaded."""

    refs: tuple[str, ...] = option(
        help="Artifacts: kind/model/label[@vN], a tag, a key, or latest.", metavar="REF", argument=True
    )
    output: str = option(help="The HTML file to write.", short="-o", metavar="FILE", from_file="inside")
