"""`pasctl data`: look at questionnaires before anything is computed with them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pasctl.cli import options as o
from pasctl.cli.output import print_json
from pasctl.cli.tables import baselines_table
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


@app.command("baselines")
def baselines(
    spec: Annotated[
        str,
        typer.Argument(
            help="Personas: papi:FOLDER, papi, builtin or demo, each with :0-20 or the like.", metavar="SPEC"
        ),
    ],
    coding: o.Coding = "auto",
    inventory: Annotated[
        str,
        typer.Option(
            "--inventory",
            envvar="PASCTL_INVENTORY",
            help="What trait poles or a file of answers are about: builtin, papi:FOLDER, or papi.",
            metavar="SPEC",
        ),
    ] = "builtin",
    json: o.Json = False,
) -> None:
    """Predict the report items without a model: what steering has to beat.

    constant-3; the median of the other persons' answers to the item (of an even number the mean of the middle two);
    the mean of the person's own fit items of the same facet, or of the same trait; a ridge regression from the
    person's fit items that was fitted on other persons, its penalty by cross-validation. All are on the same items and
    not rounded, as in eval, except own-facet-mean-rounded; the column "rounded" has each with whole answers, half to
    even. What needs more persons than there are is left out.
    """
    from pasctl.stages.data import baselines as stage

    found = stage(spec, inventory=inventory, coding=coding)
    if json:
        print_json(found)
    else:
        print(baselines_table(found))


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
