"""What `pasctl compare` prints: results of several models in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, write, write_path

if TYPE_CHECKING:
    from pasctl.commands.compare import Compare
    from pasctl.stages.compare import CompareOutcome
    from pasctl.stages.run import Run

_WIDTH = 120  # columns of a terminal
_COLUMN = 28  # and of a model


def present(options: Compare, run: Run, *, json: bool) -> None:
    """Print the comparison, and where its page and figures are."""
    from pasctl.stages.compare import compare

    outcome = compare(options.refs, options.output, **options.figures, store=run.store, reporter=run.reporter)
    if json:
        print_json(outcome.to_json())
        return
    write(comparison_table(outcome))
    for written in filter(None, (outcome.path, *outcome.figures)):
        write_path(written)


def comparison_table(outcome: CompareOutcome) -> str:
    """Conditions and baselines down, models across, in several tables where a terminal has no room for all."""
    from pasctl.report.sections.labels import ORACLE, UPPER_BOUND, setting

    blocks = [*_blocks(outcome), ""]
    blocks += [
        "composite: sum over the traits of the MAE against the personas' agreements (points), lower is better, with",
        "a 95% interval by Student's t over personas. r: correlation over a persona's items, mean over personas.",
        f"{outcome.personas} personas and {outcome.items} items, the same for all. Baselines need no model.",
    ]
    if any(setting(line.first) == ORACLE for line in outcome.lines):
        blocks.append(f"oracle: {UPPER_BOUND}.".replace("α", "alpha"))
    return "\n".join([*blocks, *outcome.notes])


def _blocks(outcome: CompareOutcome) -> Iterator[str]:
    from pasctl.report.sections.labels import setting

    labels = [f"{line.first['condition']} {setting(line.first)}".rstrip() for line in outcome.lines]
    longest = max(len(label) for label in labels)
    at_once = max((_WIDTH - longest) // (_COLUMN + 2), 1)
    for start in range(0, len(outcome.names), at_once):
        shown = range(start, min(start + at_once, len(outcome.names)))
        names = [_cut(outcome.names[place]) for place in shown]
        head = [["", *names], ["condition", *([_cells("composite", "95%", "r")] * len(names))]]
        body = [
            [label, *(_measured(line.results[place]) for place in shown)]
            for label, line in zip(labels, outcome.lines, strict=True)
        ]
        yield ("\n" if start else "") + align([*head, *body])


def _measured(row: Any) -> str:
    if row is None:
        return _cells("-", "", "")
    bounds: Sequence[float] | None = row.get("composite_interval")
    interval = "" if bounds is None else f"{bounds[0]:.2f}..{bounds[1]:.2f}"
    return _cells(_number(row["composite"]), interval, _number(row["item_correlation"]))


def _cells(composite: str, interval: str, correlation: str) -> str:
    return f"{composite:>9} {interval:>11} {correlation:>6}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cut(name: str) -> str:
    return name if len(name) <= _COLUMN else f"{name[: _COLUMN - 1]}…"
