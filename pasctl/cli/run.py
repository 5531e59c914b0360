"""What `pasctl run` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.cli.output import print_next, print_outcome

if TYPE_CHECKING:
    from pasctl.commands.run import PipelineParams
    from pasctl.stages.run import Run


def present(options: PipelineParams, run: Run, *, json: bool) -> None:
    """Run the stages and print each one's outcome as it comes."""
    from pasctl.commands.evaluate import Evaluate

    done = False
    for outcome in run.make(options):
        print_outcome(outcome, as_json=json)
        done = outcome.artifact is not None
    if done and not json:
        print_next(Evaluate.then)
