"""Trials of memory tasks: how often right, by length, with a memory and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.memory.benchmarks.metrics import wilson
from pasctl.report.blocks import Block, Cell, Content, Drawn, Table, number
from pasctl.report.figures.lines import Chart, Series, lines

_LOOKS = {"memory": ("steered", ""), "window": ("control", ""), "full": ("told", "dashed")}
_OTHER_LOOK = ("control", "dashed")
_NAMES = {
    "memory": "memory",
    "window": "window alone",
    "full": "full attention",
    "bm25": "BM25 and window",
    "press-snapkv": "SnapKV press",
    "press-expected-attention": "ExpectedAttention press",
    "press-tova": "TOVA press",
    "press-keydiff": "KeyDiff press",
    "press-knorm": "Knorm press",
    "press-streaming-llm": "StreamingLLM press",
    "fixed": "fixed events",
    "random": "random events",
    "random-retrieval": "random retrieval",
}

Row = Mapping[str, Any]


def trials(figures: Mapping[str, Sequence[Row]], *, costs_known: bool) -> Content:
    """The section of trials.

    Args:
        figures: `tasks`, `benchmarks` and `nll`, as `pasctl.stages.memory_eval.trial_figures` gives them.
        costs_known: whether speed and memory were kept.
    """
    tasks, nll = figures["tasks"], figures["nll"]
    blocks: list[Block] = []
    if tasks:
        blocks.append(_table(tasks, costs_known=costs_known))
        blocks += [_task(name, [row for row in tasks if row["task"] == name]) for name in _distinct(tasks)]
    scored = [row for row in (*tasks, *figures.get("benchmarks", ())) if row["attended_tokens"] is not None]
    if scored:
        blocks.append(_scores(scored))
    if nll:
        blocks += [_nll_table(nll), _nll_figure(nll)]
    lead = [] if costs_known else ["What the trials cost was not kept."]
    if not blocks:
        lead.append("There is no trial.")
    return Content(tuple(lead), (), tuple(blocks))


def _table(tasks: Sequence[Row], *, costs_known: bool) -> Table:
    head = ["task", "system", "tokens", "trials", "right", "attended", "recall", "events"]
    rows: list[tuple[Cell, ...]] = []
    for place, row in enumerate(tasks):
        held = wilson(row["accuracy"], row["trials"])
        cells = [
            Cell(row["task"] if place == 0 or tasks[place - 1]["task"] != row["task"] else ""),
            Cell(_NAMES[row["system"]]),
            Cell(f"{row['length']:,}"),
            Cell(f"{row['trials']:,}"),
            Cell(number(row["accuracy"], 2), f"{held[0]:.2f} to {held[1]:.2f}"),
            Cell(number(row["attended"], 2)),
            Cell(number(row["recall"], 2)),
            Cell("–" if row["events"] is None else f"{row['events']:,.0f}"),
        ]
        if costs_known:
            cells += [Cell(f"{row['tokens_per_second']:,.0f}"), Cell(f"{row['resident_mib']:,.0f}")]
        rows.append(tuple(cells))
    return Table(
        "Trials by task, system and length",
        tuple(head + (["tokens/s", "MiB"] if costs_known else [])),
        tuple(rows),
        left=2,
        beside=True,
        caption=(
            "right: share of trials whose answer holds what it should; small, its 95% interval (Wilson). attended: "
            "share of the text that the answer's first token attends. recall: share of layers that fetch the evidence, "
            "where it lies outside the window."
            + (" MiB: most resident memory of the process; speeds depend on the machine." if costs_known else "")
        ),
    )


def _scores(rows: Sequence[Row]) -> Table:
    """Scores by the tasks' metrics, and what they were reached with: tokens attended, bytes held."""
    head = ("task", "system", "metric", "tokens", "items", "score", "attended", "MiB of keys, values", "cut off")
    places = [(row["task"], row["length"]) for row in rows]
    body = [
        (
            Cell(row["task"] if place == 0 or places[place - 1] != places[place] else ""),
            Cell(_NAMES[row["system"]]),
            Cell(row["metric"]),
            Cell(f"{row['tokens']:,}"),
            Cell(f"{row['trials']:,}"),
            Cell(
                number(row["score"], 2), "" if row["interval"] is None else "{:.2f} to {:.2f}".format(*row["interval"])
            ),
            Cell(f"{row['attended_tokens']:,.0f}"),
            Cell(f"{row['held_bytes'] / 2**20:,.1f}"),
            Cell(f"{row['cut']:,}"),
        )
        for place, row in enumerate(rows)
    ]
    return Table(
        "Scores by task and system",
        head,
        tuple(body),
        left=3,
        caption=(
            "score: by the task's metric, from 0 to 1; small, its 95% interval (Wilson's of 0 and 1, else a "
            "bootstrap's over items). attended: tokens of the text that an answer's first token attends, per layer. "
            "cut off: answers that reached the most tokens allowed."
        ),
    )


def _bounds(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _task(name: str, rows: Sequence[Row]) -> Drawn:
    lengths = sorted({row["length"] for row in rows})
    systems = _distinct(rows, "system")
    series = []
    for place, system in enumerate(systems):
        held = sorted((row for row in rows if row["system"] == system), key=lambda row: row["length"])
        aside = 7.0 * (place - (len(systems) - 1) / 2)
        kind, dash = _LOOKS.get(system, _OTHER_LOOK)
        points = tuple((float(lengths.index(row["length"])), float(row["accuracy"])) for row in held)
        series.append(
            Series(
                _NAMES[system], kind, points, tuple(wilson(row["accuracy"], row["trials"]) for row in held), dash, aside
            )
        )
    ticks = tuple((float(place), short(length)) for place, length in enumerate(lengths))
    chart = Chart(series, "tokens of the text", "share of trials right", ticks, span=(0.0, 1.0), whiskers=True)

    most = max(row["trials"] for row in rows)
    return Drawn(
        f"right-{name}",
        f"{name}: share right by length",
        f"{most:,} trials a mark; lines are 95% intervals, wide because trials are few. Lengths stand at equal steps, "
        "systems a little beside each other so that none hides another.",
        lambda width: lines(chart, width=width, height=180),
    )


def _nll_table(nll: Sequence[Row]) -> Table:
    systems = _distinct(nll, "system")
    found: dict[tuple[int, int, int], dict[str, float]] = {}
    for row in nll:
        found.setdefault((row["tokens"], row["start"], row["stop"]), {})[row["system"]] = row["nll"]
    rows = [
        (
            Cell(f"{tokens:,}"),
            Cell(f"{start:,} to {stop:,}"),
            *(Cell(number(values.get(system))) for system in systems),
        )
        for (tokens, start, stop), values in found.items()
    ]
    return Table(
        "Mean surprise of a text, nats/token",
        ("tokens", "at", *(_NAMES[system] for system in systems)),
        tuple(rows),
        left=0,
        caption="Lower is better: the next token was less of a surprise.",
    )


def _nll_figure(nll: Sequence[Row]) -> Drawn:
    longest = max(row["tokens"] for row in nll)
    parts = [row for row in nll if row["tokens"] == longest and (row["start"], row["stop"]) != (0, longest)]
    rows = parts or [row for row in nll if row["tokens"] == longest]
    starts = sorted({(row["start"], row["stop"]) for row in rows})
    series = []
    for system in _distinct(rows, "system"):
        kind, dash = _LOOKS.get(system, _OTHER_LOOK)
        points = tuple(
            (float(starts.index((row["start"], row["stop"]))), float(row["nll"]))
            for row in rows
            if row["system"] == system
        )
        series.append(Series(_NAMES[system], kind, tuple(sorted(points)), (), dash))
    ticks = tuple((float(place), f"{short(start)}–{short(stop)}") for place, (start, stop) in enumerate(starts))
    chart = Chart(
        series,
        "tokens of the text, each stretch about as long as all before it",
        "nats/token, lower is better",
        ticks,
    )
    return Drawn(
        "surprise-by-position",
        f"Surprise by position in {longest:,} tokens",
        "Mean over the tokens of each stretch. Where a line falls towards the end, the system makes use of the text "
        "that is far behind; where two lines part, what is far behind matters.",
        lambda width: lines(chart, width=width, height=180),
    )


def short(count: int) -> str:
    """A number of tokens in thousands of 1,024 where that is round."""
    return f"{count // 1024}k" if count >= 1024 and count % 1024 == 0 else f"{count:,}"


def _distinct(rows: Sequence[Row], name: str = "task") -> list[str]:
    return list(dict.fromkeys(row[name] for row in rows))
