"""What commands print: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pasctl.stages.progress import Advance

if TYPE_CHECKING:
    from pasctl.stages.runner import Outcome

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
        plan = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in outcome.plan.items())
        print(f"{outcome.stage}: would compute {outcome.key[:15]} ({plan})")
        return
    counts = outcome.artifact.provenance.get("counts", {})
    if outcome.reused:
        told = f"already in the store, nothing was loaded or run ({outcome.seconds:.1f} s)"
    else:
        told = f"computed in {outcome.seconds:.1f} s"
        if counts.get("tokens_asked"):
            told += f", {counts['tokens_run']:,} tokens run for {counts['tokens_asked']:,} asked"
    print(f"{outcome.artifact.name}  {told}", flush=True)
    if outcome.artifact.kind == "results":
        print()
        print(results_table(outcome.artifact.read_json("metrics.json")))


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome; for results with their metrics."""
    document = outcome.to_json()
    if outcome.artifact is not None and outcome.artifact.kind == "results":
        document["metrics"] = outcome.artifact.read_json("metrics.json")
    return document


def results_table(metrics: dict[str, Any]) -> str:
    """Conditions and baselines side by side, on the same items; lower MAE is better."""
    from pasctl.evaluation.conditions import is_steered

    conditions = metrics["conditions"]
    columns = [
        ("condition", [row["condition"] for row in conditions]),
        ("alpha", [f"{row['alpha']:g}" if is_steered(row["condition"]) else "" for row in conditions]),
        *_errors(conditions),
        *_agreement(conditions),
        ("mass", [_number(row["option_mass"]) for row in conditions]),
    ]
    lines = [
        _columns(columns),
        "",
        *_legend(conditions),
        "mass: probability of the five letters together. random-direction: pas with random directions of equal norm.",
    ]
    if metrics.get("differences"):  # results of earlier versions have none
        lines += ["", differences_table(metrics["differences"])]
    return "\n".join([*lines, *_coding(metrics)])


def baselines_table(found: dict[str, Any]) -> str:
    """Baselines alone, and why any is left out."""
    conditions = found["conditions"]
    columns = [
        ("baseline", [row["condition"] for row in conditions]),
        *_errors(conditions),
        ("rounded", [_number(row["composite_argmax"]) for row in conditions]),
        *_agreement(conditions),
    ]
    return "\n".join(
        [
            _columns(columns),
            *(f"{name} is left out: it {why}" for name, why in found["left_out"].items()),
            "",
            *_legend(conditions),
            "rounded: the composite of whole answers, half to even; all other columns are of predictions as they are.",
            *_coding(found),
        ]
    )


def _errors(conditions: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Columns: the error on each trait, and the composite with its interval."""
    traits = [trait for trait in "OCEAN" if any(trait in row["mae"] for row in conditions)]
    return [
        *((trait, [_number(row["mae"].get(trait)) for row in conditions]) for trait in traits),
        ("composite", [_number(row["composite"]) for row in conditions]),
        ("95%", [_interval(row["composite_interval"]) for row in conditions]),
    ]


def _agreement(conditions: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Columns: what goes together with the persons' answers, and what does so whatever the item says."""
    return [
        ("item r", [_number(row["item_correlation"]) for row in conditions]),
        # results of earlier versions have none
        ("rank r", [_number(row.get("rank_correlation_mean")) for row in conditions]),
        ("acqu.", [_number(row["acquiescence"]) for row in conditions]),
    ]


def _legend(conditions: Sequence[dict[str, Any]]) -> list[str]:
    first = conditions[0]
    lines = [
        "MAE of the expected score against the personas' agreements (1..5), lower is better; composite = sum over the",
        "five traits, with a 95% interval by a bootstrap over personas. item r: correlation over a persona's items.",
        "rank r: over personas, of their trait scores. acqu.: agreement whatever an item says.",
        f"{first['personas']} personas, {first['items']} items; the personas' own acquiescence is "
        f"{_number(first['acquiescence_person'])}. Baselines need no model.",
    ]
    if any(row["condition"] == "item-median-loo" for row in conditions):
        lines.append(
            "item-median-loo: the others' median leans away from the one left out, so its rank r means nothing."
        )
    return lines


def _coding(metrics: dict[str, Any]) -> list[str]:
    if metrics["coding"] == "agreement":
        return []
    return [f"Coding: {metrics['coding']} (keyed scores read as agreement), for comparison only."]


def _columns(columns: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Columns with their headings; the first is flush left."""
    return align(list(zip(*([name, *cells] for name, cells in columns), strict=True)), left=1)


def differences_table(differences: Sequence[dict[str, Any]]) -> str:
    """Differences between conditions with their intervals; a star marks those that exclude 0."""
    body = [
        [
            f"{_named(row['condition'], row['alpha'])} - {_named(row['against'], row['against_alpha'])}",
            *(cell for name in ("composite", "item_correlation") for cell in _difference(row[name])),
        ]
        for row in differences
    ]
    header = ["paired difference", "composite", "95%", "item r", "95%"]
    return f"{align([header, *body], left=1)}\n\n* the interval excludes 0"


def align(rows: Sequence[Sequence[str]], *, left: int = 99) -> str:
    """Rows as text in columns: the first `left` columns flush left, the others right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _named(condition: str, alpha: float) -> str:
    from pasctl.evaluation.conditions import is_steered

    return f"{condition} {alpha:g}" if is_steered(condition) else condition


def _difference(found: list[float] | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    mean, low, high = found
    return f"{mean:+.3f}{'*' if low > 0 or high < 0 else ' '}", f"{low:+.3f}..{high:+.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(bounds: list[float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.2f}..{bounds[1]:.2f}"
