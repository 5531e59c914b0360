"""What `pasctl bench-tasks` prints: a table per task and figure, the conditions below each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import outcome_json, print_json, print_next, print_outcome, write

if TYPE_CHECKING:
    from pasctl.commands.bench_tasks import BenchTasks
    from pasctl.stages.run import Run


def present(options: BenchTasks, run: Run, *, json: bool) -> None:
    """Run the tasks and print their figures."""
    from pasctl.stages.bench_tasks import benchmark_rows

    outcome = run.make(options)
    made = outcome.artifact
    if made is not None and json:
        print_json({**outcome_json(outcome), "params": made.params, **benchmark_rows(made)})
        return
    print_outcome(outcome, as_json=json)
    if made is not None:
        write("\n" + "\n\n".join([*tables(benchmark_rows(made)), LEGEND]))
        print_next(options.then)


LEGEND = (
    "difference: from no change, with its 95% interval by a paired bootstrap over the documents (- below 20 documents, "
    "or for\na figure of the whole corpus); changed: documents whose value differs; random directions have the "
    "persona's norm"
)


def tables(found: Mapping[str, Any]) -> list[str]:
    """A table per task and figure."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault((row["task"], row["metric"], row["filter"]), []).append(row)
    return [_table(rows) for rows in groups.values()]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    first = rows[0]
    chosen = "" if first["filter"] == "none" else f" ({first['filter']})"
    better = {True: "higher is better", False: "lower is better", None: "no better side"}[first["higher_is_better"]]
    head = f"{first['task']}: {first['metric']}{chosen}, {better}, {first['documents']:,} documents"
    body = [["condition", "value", "difference", "95% interval", "changed"]]
    for row in rows:
        compared = "difference" in row
        body.append(
            [
                f"{row['title']} ({row['draws']} draws)" if row["draws"] > 1 else row["title"],
                _number(row["value"]),
                _number(row["difference"], signed=True) if compared else "",
                _interval(row) if compared else "",
                f"{row['changed']:,}" if compared else "",
            ]
        )
    return f"{head}\n{align(body, left=1)}"


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _interval(row: Mapping[str, Any]) -> str:
    return "-" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
