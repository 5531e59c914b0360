"""Reads the items of benchmarks' files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pasctl.errors import InputError
from pasctl.memory.benchmarks.formats import FORMATS
from pasctl.memory.benchmarks.item import Item
from pasctl.memory.benchmarks.records import read_records
from pasctl.memory.benchmarks.shapes import changed, read_task_file

NO_METRIC = {("infinitebench", "math_calc")}
"""Tasks whose published metric is not among ours."""


def read_items(
    files: Sequence[str],
    form: str,
    *,
    limit: int | None = None,
    task_file: str | None = None,
    max_new_tokens: int | None = None,
) -> list[Item]:
    """The items of some files, in their order.

    Args:
        files: JSON lines or JSON arrays.
        form: the benchmark's name in `FORMATS`.
        limit: items per task, the first ones.
        task_file: changes how tasks are asked (see `pasctl.memory.benchmarks.shapes.read_task_file`).
        max_new_tokens: of an answer, in place of the task's own.

    Raises:
        MissingError: a file does not exist.
        InputError: a record lacks something; the message names file, line and field.
    """
    said = {} if task_file is None else read_task_file(task_file)
    counts: Counter[str] = Counter()
    items: list[Item] = []
    for file in files:
        for record in read_records(file):
            for item in FORMATS[form](record):
                counts[item.task] += 1
                if limit is not None and counts[item.task] > limit:
                    continue
                place = f"{record.path}, {record.place}"
                items.append(_settled(item, form, said, max_new_tokens, place))
    unused = [task for task in said if task != "*" and task not in counts]
    if unused:
        raise InputError(f"task file {task_file} names {', '.join(unused)}, expected tasks of the data: {_few(counts)}")
    return items


def _settled(item: Item, form: str, said: dict[str, dict[str, object]], max_new_tokens: int | None, place: str) -> Item:
    """An item with what a task file and an option say of it."""
    metric = "metric" in said.get(item.task, {}) or "metric" in said.get("*", {})
    if (form, item.task) in NO_METRIC and not metric:
        raise InputError(
            f"{place}: the metric of task {item.task!r} is not known here, expected one in a task file",
            hint=f'for example {{"{item.task}": {{"metric": "similarity"}}}} with --task-file',
        )
    shape = changed(item.shape, item.task, said)
    shape = shape if max_new_tokens is None else replace(shape, max_new_tokens=max_new_tokens)
    settled = replace(item, shape=shape, place=place)
    if not settled.question:
        raise InputError(f"{place}: the question is empty, expected words", hint="give a question with --task-file")
    if shape.think and settled.answer_prefix:
        raise InputError(f"{place}: think and an answer prefix were both given, expected one of the two")
    if shape.metric in ("classification", "choice") and not item.choices:
        raise InputError(f"{place}: the metric {shape.metric!r} needs choices, found none")
    return settled


def _few(tasks: Counter[str]) -> str:
    return ", ".join(list(tasks)[:8]) + (", ..." if len(tasks) > 8 else "")
