"""What commands print: data on stdout, everything else on stderr.

All of it passes through here, where what others wrote (names, file contents, messages) loses its power over a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.cli.tables import results_table
from pasctl.json_file import json_line
from pasctl.printable import clean, clean_lines, without_controls
from pasctl.stages.progress import Advance

if TYPE_CHECKING:
    from pasctl.stages.job import Outcome
    from pasctl.stages.runner import Artifact

BAR_AFTER_SECONDS = 2.0


def write(text: str = "") -> None:
    """A text of our own on stdout, one line or several."""
    print(clean_lines(text), flush=True)


def write_line(text: str) -> None:
    """A line on stdout, which stays one whatever it quotes."""
    print(clean(text), flush=True)


def write_generated(text: str, *, end: str = "\n") -> None:
    """A text that a model wrote, on stdout: as it is, but for what a terminal would obey."""
    print(without_controls(text), end=end, flush=True)


def write_path(path: Path | str) -> None:
    """A path on stdout: byte for byte for another program, on one readable line for a terminal."""
    if sys.stdout.isatty():
        write_line(str(path))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")
    sys.stdout.buffer.flush()


def tell(text: str) -> None:
    """A line on stderr."""
    print(clean_lines(text), file=sys.stderr, flush=True)


class Terminal:
    """A reporter on stderr: notes always, a bar for what takes longer than two seconds, none without a terminal."""

    def note(self, text: str) -> None:
        """Print one line."""
        tell(clean(text))

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
            console=Console(file=sys.stderr),  # the one of now: libraries' own words may be turned away meanwhile
            transient=True,
        )
        task = bar.add_task(clean(description), total=total, rate="", told="")
        began = time.monotonic()

        def advance(steps: int, told: str = "") -> None:
            elapsed = time.monotonic() - began
            bar.advance(task, steps)
            bar.update(task, rate=f"{bar.tasks[0].completed / max(elapsed, 1e-9):.1f}/s", told=clean(told))
            if elapsed > BAR_AFTER_SECONDS and not bar.live.is_started:
                bar.start()

        try:
            yield advance
        finally:
            bar.stop()


def print_json(document: Any) -> None:
    """One JSON document on one line of stdout, exactly; letters that stdout does not know are written as escapes."""
    line = json_line(document, default=str)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(document, allow_nan=False, default=str)
    print(line, flush=True)


def print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """A stage's result: its name, whether it was computed, and how much was run."""
    if as_json:
        print_json(outcome_json(outcome))
        return
    if outcome.artifact is None:
        plan = ", ".join(_told(name, value) for name, value in outcome.plan.items())
        write(f"{outcome.stage}: would compute {outcome.key[:15]} ({plan})")
        return
    if outcome.reused:
        told = f"already in the store, nothing was loaded or run ({outcome.seconds:.1f} s)"
    else:
        told = ", ".join([f"computed in {outcome.seconds:.1f} s", *_work_done(outcome.artifact.provenance)])
    write(f"{outcome.artifact.name}  {told}")
    _print_finding(outcome.artifact)
    if outcome.artifact.kind == "strengths":
        from pasctl.cli.strengths import strengths_table

        write(f"\n{strengths_table(outcome.artifact.read_json('curves.json'))}")
    if outcome.artifact.kind == "results":
        write()
        write(results_table(outcome.artifact.read_json("metrics.json")))
        _print_psychometrics(outcome.artifact)


def _print_psychometrics(results: Artifact) -> None:
    """How a panel of respondents behaves as one, where results have a panel."""
    from pasctl.cli.psychometrics_table import psychometrics_table
    from pasctl.evaluation.rows import from_table

    if "rows.parquet" in results.files() and (
        text := psychometrics_table(from_table(results.read_table("rows.parquet")))
    ):
        write(f"\n{text}")


def _print_finding(artifact: Artifact) -> None:
    """What was found, a line a sentence; what makes it doubtful goes to stderr."""
    from pasctl.stages.findings import finding, warnings

    if found := finding(artifact):
        write(found)
    for line in warnings(artifact):
        tell(f"warning: {line}")


def print_next(command: str) -> None:
    """Name the command that comes next, to whoever reads it in a terminal."""
    if command and sys.stderr.isatty():
        tell(f"next: {command}")


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
