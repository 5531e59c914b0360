"""What `pasctl data` prints: questionnaires, before anything is computed with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pasctl.cli.output import print_json, write, write_path
from pasctl.cli.tables import baselines_table
from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.commands.data import DataBaselines, DataCheck, DataPull
    from pasctl.stages.run import Run


def check(options: DataCheck, run: Run, *, json: bool) -> None:
    """Print what a questionnaire has, and how its answers are coded."""
    from pasctl.inventory import check_data

    report = check_data(options.spec)
    if json:
        print_json(asdict(report))
        return
    per_trait = ", ".join(f"{trait} {count}" for trait, count in report.items_per_trait.items())
    write(f"items         {report.items} ({per_trait}), {report.items_keyed_minus} keyed -1")
    write(f"split         {report.split['fit']} to fit, {report.split['report']} to report")
    write(f"respondents   {report.respondents}, {report.respondents_with_missing} with missing answers")
    write(f"missing       {report.missing_answers} answers")
    write(f"coding        {report.coding.found}: {report.coding}")


def baselines(options: DataBaselines, run: Run, *, json: bool) -> None:
    """Print what predicts the report items without a model."""
    from pasctl.stages.data import baselines

    predicted = baselines(
        options.spec,
        inventory=options.inventory,
        coding=options.coding,
        map_file=options.map_file,
        reporter=run.reporter,
    )
    if json:
        print_json(predicted)
    else:
        write(baselines_table(predicted))


def pull(options: DataPull, run: Run, *, json: bool) -> None:
    """Fetch a dataset and print its folder."""
    from pasctl.inventory import pull_papi

    if options.dataset != "papi":
        raise InputError(f"dataset {options.dataset!r} is unknown, expected papi")
    folder = pull_papi(options.revision)
    if json:
        print_json({"dataset": options.dataset, "path": str(folder)})
    else:
        write_path(folder)
