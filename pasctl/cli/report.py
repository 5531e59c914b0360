"""`pasctl report`: one page about artifacts, to look at, print or send."""

from __future__ import annotations

from typing import Annotated

import typer

from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_json


def report(
    refs: Annotated[
        list[str],
        typer.Argument(help="Artifacts: kind/model/label[@vN], a tag, a key, or latest.", metavar="REF..."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The HTML file to write.", metavar="FILE")],
    svg: o.SvgFolder = None,
    png: o.PngFolder = None,
    pdf: o.PdfFolder = None,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Write a page with figures and tables of artifacts, and how they were made; no model is loaded."""
    from pasctl.stages.report import report as stage

    outcome = stage(refs, output, svg=svg, png=png, pdf=pdf, store=store, reporter=Terminal())
    if json:
        print_json(outcome.to_json())
        return
    print(outcome.path)
    for figure in outcome.figures:
        print(figure)
