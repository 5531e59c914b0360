"""What a persona costs on tasks: a table per task and figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pasctl.evaluation.bench_verdict import bench_finding
from pasctl.evaluation.intervals import SIGNIFICANT, p_text
from pasctl.report.blocks import Cell, Content, Table, interval, number

Row = Mapping[str, Any]
_CAPTION = (
    "Difference: from no change, on the same documents. Small: its 95% interval by a paired bootstrap over the "
    "documents, and p by Holm's correction over all figures of the condition. Random directions have the persona's "
    f"norm. \N{BLACK CIRCLE} p is below {SIGNIFICANT:g}."
)


def benchmarks(found: Mapping[str, Any]) -> Content:
    """The section, from an artifact's rows.json."""
    return Content(tuple(filter(None, bench_finding(found).split("\n"))), (), tuple(_tables(found["rows"])))


def _tables(rows: Sequence[Row]) -> Iterator[Table]:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["metric"], row["filter"]), []).append(row)
    for (task, metric, chosen), members in groups.items():
        better = {True: ", higher is better", False: ", lower is better", None: ""}[members[0]["higher_is_better"]]
        name = metric if chosen == "none" else f"{metric} ({chosen})"
        yield Table(
            f"{task}: {name}{better}, {members[0]['documents']:,} documents",
            ("condition", "value", "difference", "changed"),
            tuple((Cell(row["title"]), Cell(number(row["value"])), *_compared(row)) for row in members),
            caption=_CAPTION,
        )


def _compared(row: Row) -> tuple[Cell, Cell]:
    if "difference" not in row:
        return Cell(""), Cell("")
    difference, sure = row["difference"], row["p_holm"] is not None and row["p_holm"] < SIGNIFICANT
    if row["low"] is None:
        return Cell(number(difference)), Cell(f"{row['changed']:,}")
    sign = "+" if (difference or 0) > 0 else ""
    note = f"{interval([row['low'], row['high']], 3)}\n{p_text(row['p_holm'])}"
    mark = "\N{BLACK CIRCLE} " if sure else ""
    return Cell(f"{mark}{sign}{number(difference)}", note, mark=sure), Cell(f"{row['changed']:,}")
