"""`pasctl data`: look at questionnaires before anything is computed with them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pasctl.cli import options as o
from pasctl.cli.output import print_json
from pasctl.errors import InputError

app = typer.Typer(help="Check and fetch questionnaire data.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(
    spec: Annotated[str, typer.Argument(help="papi:FOLDER, papi, or builtin.", metavar="SPEC")], json: o.Json = False
) -> None:
    """Count items, respondents and missing answers, and say how the answers are coded."""
    from pasctl.inventory import check_data

    report = check_data(spec)
    if json:
        print_json(asdict(report))
        return
    per_trait = ", ".join(f"{trait} {count}" for trait, count in report.items_per_trait.items())
    print(f"items         {report.items} ({per_trait}), {report.items_keyed_minus} keyed -1")
    print(f"split         {report.split['fit']} to fit, {report.split['report']} to report")
    print(f"respondents   {report.respondents}, {report.respondents_with_missing} with missing answers")
    print(f"missing       {report.missing_answers} answers")
    print(f"coding        {report.coding.found}: {report.coding}")


@app.command("pull")
def pull(
    dataset: Annotated[str, typer.Argument(help="papi", metavar="DATASET")],
    revision: o.Revision = None,
    json: o.Json = False,
) -> None:
    """Fetch a dataset from the Hugging Face hub into the hub's cache."""
    from pasctl.inventory import pull_papi

    if dataset != "papi":
        raise InputError(f"dataset {dataset!r} is unknown, expected papi")
    folder: Path = pull_papi(revision)
    if json:
        print_json({"dataset": dataset, "path": str(folder)})
    else:
        print(folder)
