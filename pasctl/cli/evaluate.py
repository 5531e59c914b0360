"""What `pasctl eval` prints, and what else it writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.cli.output import print_next, print_outcome

if TYPE_CHECKING:
    from pasctl.commands.evaluate import Evaluate
    from pasctl.stages.run import Run


def present(options: Evaluate, run: Run, *, json: bool) -> None:
    """Evaluate, write the log and the page that are asked for, and print the table."""
    from pasctl.stages.evaluate import export_published_log, with_inputs
    from pasctl.stages.report import report, require_place

    if options.report is not None:
        require_place(Path(options.report))
    outcome = run.make(options)
    results = outcome.artifact
    if results is not None and options.export_log is not None:
        run.reporter.note(f"wrote {export_published_log(results, options.export_log)}")
    if results is not None and options.report is not None:
        page = report(with_inputs(results, run.store), options.report, store=run.store)
        run.reporter.note(f"wrote {page.path}")
    print_outcome(outcome, as_json=json)
    if results is not None and not json:
        print_next(options.then)
