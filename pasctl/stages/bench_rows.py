"""What tasks under several conditions show: figures, and their paired differences from the unchanged model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pasctl.evaluation.intervals import holm
from pasctl.evaluation.paired import PairedDifference, paired_difference, pooled_difference
from pasctl.stages.bench_cases import PERSONA, RANDOM, BenchCase

if TYPE_CHECKING:
    from pasctl.evaluation.lm_eval_tasks import GroupFigure, HarnessTask

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


@dataclass(frozen=True, eq=False)
class _Found:
    """One row, with the draws that its interval is of.

    Attributes:
        row: about it, with its value.
        difference: from what it is compared with; None of the unchanged model itself.
    """

    row: Row
    difference: PairedDifference | None

    @property
    def setting(self) -> tuple[Any, ...]:
        """Who and how strongly, under which condition."""
        return (self.row["condition"], self.row["persona"], self.row["alpha"])

    def told(self) -> Row:
        """As it is stored."""
        if self.difference is None:
            return self.row
        low, high = self.difference.interval or (None, None)
        found = {"difference": _finite(self.difference.difference), "low": low, "high": high, "p": self.difference.p}
        return self.row | found | {"changed": self.difference.changed}


def bench_rows(
    tasks: Sequence[HarnessTask],
    groups: Sequence[GroupFigure],
    cases: Sequence[BenchCase],
    parts: Mapping[tuple[int, int], Part],
    seed: int,
) -> dict[str, Any]:
    """Tables of what was found.

    Args:
        tasks: lm-eval's.
        groups: figures of groups of them.
        cases: conditions, the unchanged model first.
        parts: (place of the task, place of the condition) -> what was measured.
        seed: of the documents that intervals draw.

    Returns:
        tasks: name and documents; rows: one per task or group, figure and condition, with value, difference from the
        unchanged model, its 95% interval [low, high], p, p_holm (Holm's over all figures of a condition), and the
        number of documents whose value changed; against_random: the same of each persona minus its random directions.
    """
    rows: list[_Found] = []
    against: list[_Found] = []
    for place, task in enumerate(tasks):
        measured = list(_measured(cases, {n: part for (at, n), part in parts.items() if at == place}))
        for key in sorted(measured[0].parts[0].figures):  # as stored, whose order JSON does not keep
            rows += _rows(task, key, measured, seed)
            against += _against_random(task, key, measured, seed)
    tables = []
    for table in (rows, against):
        grouped = [found for figure in groups for found in _of_group(figure, table)]
        tables.append([found.told() for found in (*grouped, *table)])
        _correct(tables[-1])
    shown = [{"task": task.name, "documents": _documents(parts[place, 0])} for place, task in enumerate(tasks)]
    return {"tasks": shown, "rows": tables[0], "against_random": tables[1]}


def _of_group(figure: GroupFigure, table: Sequence[_Found]) -> Iterator[_Found]:
    """Rows of a group, where all of its tasks have one."""
    members: dict[tuple[Any, ...], list[_Found]] = {}
    for found in table:
        row = found.row
        wanted = figure.filters is None or row["filter"] in figure.filters
        if row["task"] in figure.members and row["metric"] == figure.metric and wanted:
            members.setdefault((row["filter"], *found.setting), []).append(found)
    for several in members.values():
        if len(several) == len(figure.members):
            yield _pooled(figure, several)


def _pooled(figure: GroupFigure, members: Sequence[_Found]) -> _Found:
    documents = [each.row["documents"] for each in members]
    weights = [float(count) if figure.weighted else 1.0 for count in documents]
    values = [each.row["value"] for each in members]
    known = [value for value in values if value is not None]
    value = sum(w * v for w, v in zip(weights, known, strict=True)) / sum(weights) if known == values else None
    differences = [each.difference for each in members if each.difference is not None]
    row = members[0].row | {"task": figure.group, "documents": sum(documents), "value": value}
    return _Found(row, pooled_difference(differences, weights) if differences else None)


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


def _rows(task: HarnessTask, key: str, measured: Sequence[_Measured], seed: int) -> Iterator[_Found]:
    reference = measured[0]
    for each in measured:
        if key in each.parts[0].figures:
            difference = None if each is reference else _difference(task, key, each, reference, seed)
            yield _Found(_about(task, key, each), difference)


def _against_random(task: HarnessTask, key: str, measured: Sequence[_Measured], seed: int) -> Iterator[_Found]:
    controls = {(each.first.name, each.first.alpha): each for each in measured if each.first.condition == RANDOM}
    for each in measured:
        control = controls.get((each.first.name, each.first.alpha))
        if each.first.condition == PERSONA and control is not None and key in control.parts[0].figures:
            yield _Found(_about(task, key, each), -_difference(task, key, control, each, seed))


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
        "value": _finite(_value(measured, key)),
    }


def _value(measured: _Measured, key: str) -> float:
    return sum(part.figures[key] for part in measured.parts) / len(measured.parts)


def _difference(task: HarnessTask, key: str, measured: _Measured, reference: _Measured, seed: int) -> PairedDifference:
    """Of a figure between two conditions; `reference` has one draw."""
    metric = key.partition(",")[0]
    figure, name = task.figure(metric)
    [before] = reference.parts
    paired = all(part.documents[key] == before.documents[key] for part in measured.parts)
    if not paired or not all(_is_figure(figure, part, key) for part in (before, *measured.parts)):
        return PairedDifference.of(_value(measured, key) - before.figures[key], None, 0)
    values = [part.values[key] for part in measured.parts]
    return paired_difference(values, before.values[key], figure, name, (seed, crc32(task.name.encode())))


def _is_figure(figure: Any, part: Part, key: str) -> bool:
    """Whether the figure that lm-eval gave is this function of the documents' values."""
    try:
        found = float(figure(part.values[key]))
    except (ArithmeticError, TypeError, ValueError):
        return False
    return math.isclose(found, part.figures[key], rel_tol=1e-9, abs_tol=1e-12)


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
