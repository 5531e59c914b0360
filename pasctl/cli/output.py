"""What commands print: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pasctl.cli.tables import results_table
from pasctl.stages.progress import Advance

if TYPE_CHECKING:
    from pasctl.stages.runner import Artifact, Outcome

BAR_AFTER_SECONDS = 2.0


class Terminal:
    """A reporter on stderr: notes always, a bar for what takes longer than two seconds, none without a terminal."""

    def note(self, text: str) -> None:
        """Print one line."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar with rate and time left while the block runs."""
        if not sys.stderr.isatty():
            yield lambda steps, told="": None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit, markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[told]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        task = bar.add_task(description, total=total, rate="", told="")
        began = time.monotonic()

        def advance(steps: int, told: str = "") -> None:
            elapsed = time.monotonic() - began
            bar.advance(task, steps)
            bar.update(task, rate=f"{bar.tasks[0].completed / max(elapsed, 1e-9):.1f}/s", told=told)
            if elapsed > BAR_AFTER_SECONDS and not bar.live.is_started:
                bar.start()

        try:
            yield advance
        finally:
            bar.stop()


def print_json(document: Any) -> None:
    """One JSON document on one line of stdout."""
    print(json.dumps(document, ensure_ascii=False, allow_nan=False, default=str), flush=True)


def print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """A stage's result: its name, whether it was computed, and how much was run."""
    if as_json:
        print_json(outcome_json(outcome))
        return
    if outcome.artifact is None:
        plan = ", ".join(_told(name, value) for name, value in outcome.plan.items())
        print(f"{outcome.stage}: would compute {outcome.key[:15]} ({plan})")
        return
    if outcome.reused:
        told = f"already in the store, nothing was loaded or run ({outcome.seconds:.1f} s)"
    else:
        told = ", ".join([f"computed in {outcome.seconds:.1f} s", *_work_done(outcome.artifact.provenance)])
    print(f"{outcome.artifact.name}  {told}", flush=True)
    _print_finding(outcome.artifact)
    if outcome.artifact.kind == "strengths":
        from pasctl.cli.strengths import strengths_table

        print(f"\n{strengths_table(outcome.artifact.read_json('curves.json'))}")
    if outcome.artifact.kind == "results":
        print()
        print(results_table(outcome.artifact.read_json("metrics.json")))


def _print_finding(artifact: Artifact) -> None:
    """What was found, a line a sentence; what makes it doubtful goes to stderr."""
    from pasctl.stages.findings import finding, warnings

    if found := finding(artifact):
        print(found, flush=True)
    for line in warnings(artifact):
        print(f"warning: {line}", file=sys.stderr)


def print_next(command: str) -> None:
    """Name the command that comes next, to whoever reads it in a terminal."""
    if command and sys.stderr.isatty():
        print(f"next: {command}", file=sys.stderr)


def _work_done(provenance: dict[str, Any]) -> list[str]:
    """What a run that asked a model has to say of itself."""
    from rich.filesize import decimal

    counts = provenance.get("counts", {})
    if not counts.get("tokens_asked"):
        return []
    words = [f"{counts['tokens_run']:,} tokens computed ({counts['tokens_asked']:,} requested)"]
    if "seconds_to_first_token" in provenance:
        words.append(f"the first after {provenance['seconds_to_first_token']:.1f} s")
    return [*words, f"peak memory {decimal(provenance['peak_bytes'])}"]


def _told(name: str, value: int) -> str:
    """A figure of a plan in words: sizes in units."""
    from rich.filesize import decimal

    words = name.replace("_", " ")
    return f"{words.removesuffix(' bytes')} {decimal(value)}" if name.endswith("bytes") else f"{words} {value:,}"


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome, with what was found; for results with their metrics."""
    from pasctl.stages.findings import finding, warnings

    document = outcome.to_json()
    if outcome.artifact is None:
        return document
    document |= {"finding": finding(outcome.artifact), "warnings": list(warnings(outcome.artifact))}
    if outcome.artifact.kind == "results":
        document["metrics"] = outcome.artifact.read_json("metrics.json")
    return document
