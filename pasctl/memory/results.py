"""What trials of memory tasks gave and cost, and figures of many: how often right, by task, length and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.memory.press_kinds import PRESSES

SYSTEMS = ("memory", "window", "full", "bm25", *PRESSES, "fixed", "random", "random-retrieval")
DEPTH_BINS = 5


@dataclass(frozen=True)
class Cost:
    """What reading a text took: measured, so never twice the same.

    Attributes:
        tokens_per_second: while reading.
        resident_mib: resident memory of the process behind the reading.
    """

    seconds: float
    tokens_per_second: float
    resident_mib: float


@dataclass(frozen=True)
class Result:
    """One trial on one system.

    Attributes:
        system: "memory"; "window", the first and the local tokens alone; "full" attention; "bm25", full attention to
            the window and the pieces of the text that BM25 chooses; one of `PRESSES`, the keys and values that a press
            of kvpress keeps; the memory with "fixed" or "random" events; or with "random-retrieval".
        length: wanted tokens of the text; 0 of an item, whose text is as it is.
        right: whether the answer holds what it should.
        tokens: tokens of the text.
        events: events that the text was cut into; None without a memory.
        attended: share of the text's tokens that a layer attended for the answer, mean over layers.
        recall: share of the layers that recalled an event with evidence, mean over the pieces of evidence outside the
            window; None if all of it was inside.
        score: by the metric, from 0 to 1; None where an earlier version has kept none.
        metric: "answers", the share of the expected answers that are in the reply; or a benchmark's.
        item: digest of the item; None of a task of our own.
        cut: whether the answer was cut off after the most tokens allowed.
        attended_tokens: tokens of the text that the answer's first token attends, mean over layers.
        held_bytes: keys and values of the text that are held for the answer, wherever they are stored.
    """

    system: str
    task: str
    length: int
    depth: float
    seed: int
    answer: str
    expected: tuple[str, ...]
    right: bool
    tokens: int
    events: int | None
    attended: float
    recall: float | None
    score: float | None = None
    metric: str = ""
    item: str | None = None
    cut: bool = False
    attended_tokens: float | None = None
    held_bytes: int | None = None


def summarize(results: Sequence[Result], costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """One row a task, length and system.

    Each has the number of trials, the mean score with its interval, the accuracy, the accuracy in each fifth of the
    text (None where no evidence was), and means of what the trials measured; resident memory is the largest.
    """
    from pasctl.memory.benchmarks.metrics import mean_score

    groups: dict[tuple[str, int, str], list[tuple[Result, Cost]]] = {}
    for result, cost in zip(results, costs, strict=True):
        groups.setdefault((result.task, result.length, result.system), []).append((result, cost))
    return [
        {
            "task": task,
            "length": length,
            "system": system,
            "trials": len(pairs),
            "metric": pairs[0][0].metric,
            **mean_score([result.right if result.score is None else result.score for result, _ in pairs]),
            "cut": sum(result.cut for result, _ in pairs),
            "tokens": round(sum(result.tokens for result, _ in pairs) / len(pairs)),
            "attended_tokens": _mean_of(pairs, lambda result: result.attended_tokens),
            "held_bytes": _mean_of(pairs, lambda result: result.held_bytes),
            "accuracy": _mean([result.right for result, _ in pairs]),
            "by_depth": [
                _mean([result.right for result, _ in pairs if _bin(result.depth) == place])
                for place in range(DEPTH_BINS)
            ],
            "tokens_per_second": _mean([cost.tokens_per_second for _, cost in pairs]),
            "resident_mib": max(cost.resident_mib for _, cost in pairs),
            "events": _mean_of(pairs, lambda result: result.events),
            "attended": _mean_of(pairs, lambda result: result.attended),
            "recall": _mean_of(pairs, lambda result: result.recall),
        }
        for (task, length, system), pairs in sorted(
            groups.items(), key=lambda group: (*group[0][:2], SYSTEMS.index(group[0][2]))
        )
    ]


def _bin(depth: float) -> int:
    return min(int(depth * DEPTH_BINS), DEPTH_BINS - 1)


def _mean_of(pairs: Sequence[tuple[Result, Cost]], figure: Callable[[Result], float | None]) -> float | None:
    return _mean([value for value in (figure(result) for result, _ in pairs) if value is not None])


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
