"""What `pasctl memory-eval` prints: the table of the trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, print_outcome, write

if TYPE_CHECKING:
    from pasctl.commands.memory_eval import MemoryEval
    from pasctl.stages.run import Run


def present(options: MemoryEval, run: Run, *, json: bool) -> None:
    """Run the trials and print their tables."""
    from pasctl.stages.memory_eval import trial_figures

    outcome = run.make(options)
    trials = outcome.artifact
    if trials is None or not json:
        print_outcome(outcome, as_json=json)
    if trials is None:
        return
    results = trials.read_json("trials.json")
    figures = trial_figures(results, trials.provenance["costs"])
    if json:
        print_json({**outcome.to_json(), "params": trials.params, **figures, "trials": list(results.values())})
    else:
        write("\n\n".join(tables(figures)))


def tables(figures: dict[str, Any]) -> list[str]:
    """Figures as text: accuracy and cost, accuracy by depth, surprise by position; those that there are."""
    texts = []
    if figures["tasks"]:
        texts += [_accuracy(figures["tasks"]), _by_depth(figures["tasks"])]
    texts += task_tables(figures["tasks"] + figures["benchmarks"])
    if figures["nll"]:
        texts.append(_surprise(figures["nll"]))
    return texts


def task_tables(rows: list[dict[str, Any]]) -> list[str]:
    """A table per task and length, the systems below each other; then what the columns are."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        if row["attended_tokens"] is not None:  # else of an earlier version, which did not count them
            groups.setdefault((row["task"], row["length"]), []).append(row)
    tables = [_systems(task, group) for (task, _), group in groups.items()]
    return [*tables, _SYSTEMS_LEGEND] if tables else []


_SYSTEMS_LEGEND = (
    "score: by the task's metric, with its 95% interval (Wilson's of 0 and 1, else a bootstrap's over items); "
    "attended: tokens of the text\nthat an answer's first token attends, per layer; held: keys and values kept for the "
    "answer; cut: answers cut off at the most tokens"
)


def _systems(task: str, rows: list[dict[str, Any]]) -> str:
    header = [task, "metric", "items", "tokens", "score", "interval", "attended", "held", "cut"]
    body = [
        [
            row["system"],
            row["metric"],
            str(row["trials"]),
            f"{row['tokens']:,}",
            f"{row['score']:.3f}",
            "-" if row["interval"] is None else f"{row['interval'][0]:.2f} to {row['interval'][1]:.2f}",
            f"{row['attended_tokens']:,.0f}",
            f"{row['held_bytes'] / 2**20:,.1f} MiB",
            str(row["cut"]),
        ]
        for row in rows
    ]
    return align([header, *body], left=2)


def _accuracy(rows: list[dict[str, Any]]) -> str:
    header = ["task", "system", "tokens", "trials", "right", "attended", "recall", "events", "tokens/s", "MiB"]
    body = [
        [
            row["task"],
            row["system"],
            f"{row['length']:,}",
            str(row["trials"]),
            _share(row["accuracy"]),
            _share(row["attended"]),
            _share(row["recall"]),
            "-" if row["events"] is None else f"{row['events']:,.0f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['resident_mib']:,.0f}",
        ]
        for row in rows
    ]
    return align([header, *body], left=2) + (
        "\nattended: share of the text that an answer's first token attends; "
        "recall: share of layers that retrieve the evidence"
    )


def _by_depth(rows: list[dict[str, Any]]) -> str:
    count = len(rows[0]["by_depth"])
    bins = [f"{place / count:.1f}-{(place + 1) / count:.1f}" for place in range(count)]
    body = [
        [row["task"], row["system"], f"{row['length']:,}", *(_share(value) for value in row["by_depth"])]
        for row in rows
    ]
    return align([["right by depth", "system", "tokens", *bins], *body], left=2)


def _surprise(rows: list[dict[str, Any]]) -> str:
    systems = list(dict.fromkeys(row["system"] for row in rows))
    stretches: dict[tuple[int, int, int], dict[str, float]] = {}
    for row in rows:
        stretches.setdefault((row["tokens"], row["start"], row["stop"]), {})[row["system"]] = row["nll"]
    body = [
        [f"{tokens:,}", f"{start:,}-{stop:,}", *(f"{values[system]:.3f}" for system in systems)]
        for (tokens, start, stop), values in stretches.items()
    ]
    return align([["text", "nats/token at", *systems], *body], left=0)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
