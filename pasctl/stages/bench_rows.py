"""What tasks under several conditions show: figures, and their paired differences from the unchanged model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pasctl.evaluation.intervals import holm
from pasctl.evaluation.paired import PairedDifference, paired_difference
from pasctl.stages.bench_cases import PERSONA, RANDOM, BenchCase

if TYPE_CHECKING:
    from pasctl.evaluation.lm_eval_tasks import HarnessTask

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A task under a condition.

    Attributes:
        figures: "metric,filter" -> value.
        values: the same -> one per document.
        documents: the same -> their numbers.
    """

    figures: Mapping[str, float]
    values: Mapping[str, list[Any]]
    documents: Mapping[str, list[int]]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Part:
        """From what `Harness.run` gave."""
        from pasctl.evaluation.lm_eval_runs import stored_value

        return cls(stored_value(dict(stored["figures"])), stored_value(dict(stored["values"])), stored["documents"])


@dataclass(frozen=True, eq=False)
class _Measured:
    """A figure of a task under a condition, in each of its draws.

    Attributes:
        first: of the cases.
        parts: of each draw.
    """

    first: BenchCase
    parts: tuple[Part, ...]


def bench_rows(
    tasks: Sequence[HarnessTask], cases: Sequence[BenchCase], parts: Mapping[tuple[int, int], Part], seed: int
) -> dict[str, Any]:
    """Tables of what was found.

    Args:
        tasks: lm-eval's.
        cases: conditions, the unchanged model first.
        parts: (place of the task, place of the condition) -> what was measured.
        seed: of the documents that intervals draw.

    Returns:
        tasks: name and documents; rows: one per task, figure and condition, with value, difference from the unchanged
        model, its 95% interval [low, high], p, p_holm (Holm's over all figures of all tasks of a condition), and the
        number of documents whose value changed; against_random: the same of each persona minus its random directions.
    """
    rows: list[Row] = []
    against: list[Row] = []
    for place, task in enumerate(tasks):
        measured = list(_measured(cases, {n: part for (at, n), part in parts.items() if at == place}))
        for key in sorted(measured[0].parts[0].figures):  # as stored, whose order JSON does not keep
            rows += _rows(task, key, measured, seed)
            against += _against_random(task, key, measured, seed)
    for table in (rows, against):
        _correct(table)
    shown = [{"task": task.name, "documents": _documents(parts[place, 0])} for place, task in enumerate(tasks)]
    return {"tasks": shown, "rows": rows, "against_random": against}


def _measured(cases: Sequence[BenchCase], parts: Mapping[int, Part]) -> Iterator[_Measured]:
    """Conditions of one task, the draws of a random direction together."""
    numbered = [(number, case) for number, case in enumerate(cases) if number in parts]
    numbered.sort(key=lambda each: _order(cases, each[1]))
    for _, together in groupby(numbered, key=lambda each: _same(each[1])):
        known = list(together)
        yield _Measured(known[0][1], tuple(parts[number] for number, _ in known))


def _same(case: BenchCase) -> tuple[Any, ...]:
    return (case.condition, case.name, case.alpha)


def _order(cases: Sequence[BenchCase], case: BenchCase) -> int:
    return next(number for number, each in enumerate(cases) if _same(each) == _same(case))


def _documents(part: Part) -> int:
    return max((len(each) for each in part.documents.values()), default=0)


def _rows(task: HarnessTask, key: str, measured: Sequence[_Measured], seed: int) -> Iterator[Row]:
    reference = measured[0]
    for each in measured:
        if key not in each.parts[0].figures:
            continue
        row = _about(task, key, each) | {"value": _finite(_value(each, key))}
        if each is not reference:
            row |= _told(_difference(task, key, each, reference, seed))
        yield row


def _against_random(task: HarnessTask, key: str, measured: Sequence[_Measured], seed: int) -> Iterator[Row]:
    controls = {(each.first.name, each.first.alpha): each for each in measured if each.first.condition == RANDOM}
    for each in measured:
        control = controls.get((each.first.name, each.first.alpha))
        if each.first.condition == PERSONA and control is not None and key in control.parts[0].figures:
            yield _about(task, key, each) | _told(_difference(task, key, control, each, seed, sign=-1))


def _about(task: HarnessTask, key: str, measured: _Measured) -> Row:
    metric, _, chosen = key.partition(",")
    case = measured.first
    return {
        "task": task.name,
        "metric": metric,
        "filter": chosen,
        "condition": case.condition,
        "persona": case.name,
        "alpha": case.alpha,
        "title": case.title,
        "draws": len(measured.parts),
        "documents": len(measured.parts[0].documents[key]),
        "higher_is_better": task.higher_is_better(metric),
    }


def _value(measured: _Measured, key: str) -> float:
    return sum(part.figures[key] for part in measured.parts) / len(measured.parts)


def _difference(
    task: HarnessTask, key: str, measured: _Measured, reference: _Measured, seed: int, *, sign: int = 1
) -> PairedDifference:
    """Of a figure between two conditions; `reference` has one draw. A sign of -1 gives reference minus measured."""
    metric = key.partition(",")[0]
    figure, name = task.figure(metric)
    [before] = reference.parts
    found = PairedDifference(_value(measured, key) - before.figures[key], None, None, 0)
    paired = all(part.documents[key] == before.documents[key] for part in measured.parts)
    if paired and all(_is_figure(figure, part, key) for part in (before, *measured.parts)):
        values = [part.values[key] for part in measured.parts]
        found = paired_difference(values, before.values[key], figure, name, (seed, crc32(task.name.encode())))
    if sign == 1:
        return found
    turned = None if found.interval is None else (-found.interval[1], -found.interval[0])
    return PairedDifference(-found.difference, turned, found.p, found.changed)


def _is_figure(figure: Any, part: Part, key: str) -> bool:
    """Whether the figure that lm-eval gave is this function of the documents' values."""
    try:
        found = float(figure(part.values[key]))
    except (ArithmeticError, TypeError, ValueError):
        return False
    return math.isclose(found, part.figures[key], rel_tol=1e-9, abs_tol=1e-12)


def _told(found: PairedDifference) -> Row:
    low, high = found.interval or (None, None)
    return {
        "difference": _finite(found.difference),
        "low": low,
        "high": high,
        "p": found.p,
        "changed": found.changed,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _correct(table: Sequence[Row]) -> None:
    """Add p_holm, corrected over all figures of a condition."""
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in table:
        if "difference" in row:
            row["p_holm"] = None
            if row["p"] is not None:
                families.setdefault((row["condition"], row["persona"], row["alpha"]), []).append(row)
    for family in families.values():
        for row, corrected in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = corrected
