"""What `pasctl report` prints: the page, and the files of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.cli.output import print_json, write_path

if TYPE_CHECKING:
    from pasctl.commands.report import Report
    from pasctl.stages.run import Run


def present(options: Report, run: Run, *, json: bool) -> None:
    """Write the page and print where it is."""
    from pasctl.stages.report import report

    outcome = report(options.refs, options.output, **options.figures, store=run.store, reporter=run.reporter)
    if json:
        print_json(outcome.to_json())
        return
    for path in (outcome.path, *outcome.figures):
        write_path(path)
