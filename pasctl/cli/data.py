"""What `pasctl data` prints: questionnaires, before anything is computed with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from pasctl.cli.output import print_json, write, write_line, write_path
from pasctl.cli.tables import baselines_table
from pasctl.errors import InputError
from pasctl.printable import shell_words

if TYPE_CHECKING:
    from pasctl.commands.data import DataBaselines, DataCheck, DataNew, DataPull
    from pasctl.inventory import DataReport
    from pasctl.stages.run import Run


def new(options: DataNew, run: Run, *, json: bool) -> None:
    """Write a template, and say what comes next."""
    from pasctl.inventory.files.template import write_template

    path = write_template(options.file)
    if json:
        print_json({"path": str(path)})
    else:
        write_path(path)
    run.reporter.note(f"change it, then: {shell_words(['pasctl', 'data', 'check', str(path)])}")


def check(options: DataCheck, run: Run, *, json: bool) -> None:
    """Print what a questionnaire has, how its answers are coded, and what a model will see of it."""
    from pasctl.inventory import check_data, has_respondents, listing
    from pasctl.inventory.scale import MOST_POINTS

    report = check_data(
        options.spec,
        options.personas,
        coding=options.coding,
        map_file=options.map_file,
        option_labels=options.option_labels,
    )
    if json:
        print_json(asdict(report))
        return
    for line in (*_counts(report), *_columns(report), *_scale(report), *_traits(report)):
        write_line(line)
    for warning in report.warnings:
        write_line(f"note          {warning}")
    write_line(f"answers       {listing(report.option_names, MOST_POINTS)}; the first item as a model sees it:")
    write()
    write("\n".join(f"    {line}" for line in report.prompt.splitlines()))
    if report.statement:
        write()
        write_line(f"and as a statement of its own: {report.statement}")
    if not has_respondents(options.spec):
        personas = options.personas if isinstance(options.personas, str) else f"{report.traits[0].code}+"
        words = ["pasctl", "run", "--model", "demo", "--inventory", options.spec, "--personas", personas]
        words += ["--option-labels", options.option_labels] if options.option_labels else []
        run.reporter.note(f"next: {shell_words(words)}")


def _counts(report: DataReport) -> list[str]:
    per_trait = ", ".join(f"{trait} {count}" for trait, count in report.items_per_trait.items())
    lines = [
        f"items         {report.items} ({per_trait}), {report.items_keyed_minus} keyed -1",
        f"split         {report.split['fit']} to fit, {report.split['report']} to report",
    ]
    if report.coding is None:
        return [*lines, "respondents   none: --personas FILE names some"]
    return [
        *lines,
        f"respondents   {report.respondents}, {report.respondents_with_missing} with missing answers",
        f"missing       {report.missing_answers} answers",
        f"coding        {report.coding.found}: {report.coding}",
    ]


def _columns(report: DataReport) -> Iterator[str]:
    """What each column of a table of respondents was taken for."""
    for column in (report.reading or {}).get("columns", ()):
        meaning = f"item {column['item']}" if column["meaning"] == "item" else column["meaning"]
        missing = f", {column['missing']} empty" if column["missing"] else ""
        many = f"more than {column['values'] - 1}" if column["many"] else column["values"]
        yield f"column        {column['column']}: {meaning}, {many} values{missing}"


def _scale(report: DataReport) -> list[str]:
    points = " | ".join(label if label.startswith(str(score)) else f"{score} {label}" for score, label in report.scale)
    own = f"; {report.own_scales} items have answers of their own" if report.own_scales else ""
    return [
        f"inventory     {report.name}, language {report.language}, digest {report.digest[:12]}",
        f"scale         {len(report.scale)} points: {points}{own}",
    ]


def _traits(report: DataReport) -> Iterator[str]:
    for trait in report.traits:
        name = trait.code if trait.name == trait.code else f"{trait.code} {trait.name}"
        poles = f" ({', '.join(trait.high) or '?'} - {', '.join(trait.low) or '?'})" if trait.high or trait.low else ""
        alpha = "" if trait.alpha is None else f", alpha {trait.alpha:.2f}"
        facets = "" if len(trait.facets) < 2 else f", {len(trait.facets)} facets: {', '.join(trait.facets)}"
        yield (
            f"trait         {name}{poles}: {trait.items - trait.keyed_minus} keyed +1, {trait.keyed_minus} keyed -1, "
            f"{trait.fit} to fit, {trait.report} to report{alpha}{facets}"
        )


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
