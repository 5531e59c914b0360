"""What trials of memory tasks gave and cost, and figures of many: how often right, by task, length and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SYSTEMS = ("memory", "window", "full")
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
        system: "memory"; "window", the first and the local tokens alone; or "full" attention.
        right: whether the answer holds what it should.
        tokens: tokens of the text.
        events: events that the text was cut into; None without a memory.
        attended: share of the text's tokens that a layer attended for the answer, mean over layers.
        recall: share of the layers that recalled an event with evidence, mean over the pieces of evidence outside the
            window; None if all of it was inside.
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


def summarize(results: Sequence[Result], costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """One row a task, length and system.

    Each has the number of trials, the accuracy, the accuracy in each fifth of the text (None where no evidence was),
    and means of what the trials measured; resident memory is the largest.
    """
    groups: dict[tuple[str, int, str], list[tuple[Result, Cost]]] = {}
    for result, cost in zip(results, costs, strict=True):
        groups.setdefault((result.task, result.length, result.system), []).append((result, cost))
    return [
        {
            "task": task,
            "length": length,
            "system": system,
            "trials": len(pairs),
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
