"""Respondents from a table with a row for each, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory
from pasctl.inventory.tables.layout import Layout
from pasctl.inventory.tables.table import MOST_VALUES, ColumnValues, Table
from pasctl.inventory.tables.table_map import TableMap
from pasctl.inventory.tables.values import Guesses, Values, score_values

FloatArray = npt.NDArray[np.float64]
ScoreTable = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Respondents:
    """Some respondents.

    Attributes:
        ids: Their names.
        answers: As the file has them on the inventory's scale [P, I], NaN where missing.
        attributes: Column -> what it says of each.
    """

    ids: tuple[str, ...]
    answers: FloatArray
    attributes: Mapping[str, Sequence[str]]


def wide_scores(
    table: Table,
    columns: Sequence[ColumnValues],
    layout: Layout,
    said: TableMap,
    inventory: Inventory,
    guesses: Guesses,
) -> ScoreTable:
    """Column of an item -> value -> score.

    Raises:
        InputError: a value that is neither an answer nor missing.
    """
    of = dict(zip(table.header, columns, strict=True))
    scores: ScoreTable = {}
    for scale in dict.fromkeys(inventory.scales):
        names = [name for name, at in layout.items.place.items() if inventory.scales[at] == scale]
        for name in names:
            if of[name].many:
                raise InputError(
                    f"{table.path}: column {name!r}, item {_item(name, layout, inventory)}: answers are expected, "
                    f"found more than {MOST_VALUES} different values",
                    hint="name the column that has its answers with --map FILE (items: {item: column})",
                )
        values = Values(
            counts={name: of[name].counts for name in names},
            first={name: of[name].first for name in names},
            value_labels={name: table.value_labels[name] for name in names if name in table.value_labels},
            item={name: _item(name, layout, inventory) for name in names},
            where=str(table.path),
            what=table.what,
        )
        for name, found in score_values(values, scale, said, guesses).items():
            turn = name in said.reversed or _item(name, layout, inventory) in said.reversed
            scores[name] = {value: scale.low + scale.high - s for value, s in found.items()} if turn else found
    return scores


def wide_respondents(
    table: Table, layout: Layout, scores: Mapping[str, Mapping[str, float]], inventory: Inventory
) -> Iterator[Respondents]:
    """The respondents of each block of rows.

    Raises:
        InputError: a respondent without a name.
    """
    done = 0
    for block in table.blocks():
        count = len(block.lines)
        answers = np.full((count, len(inventory)), np.nan)
        for name, at in layout.items.place.items():
            of = scores[name]
            answers[:, at] = [of[cell] for cell in block.columns[table.header.index(name)]]
        if layout.name is None:
            ids: tuple[str, ...] = tuple(f"r{row}" for row in range(done + 1, done + count + 1))
        else:
            ids = tuple(block.columns[layout.name])
            if "" in ids:
                raise InputError(
                    f"{table.path}: {table.what} {block.lines[ids.index('')]}: a name is expected in column "
                    f"{table.header[layout.name]}, found none",
                    hint="--map FILE with id: null counts the rows instead",
                )
        attributes = {table.header[at]: block.columns[at] for at in layout.attributes}
        yield Respondents(ids, answers, attributes)
        done += count


def _item(name: str, layout: Layout, inventory: Inventory) -> str:
    return inventory.items[layout.items.place[name]].id
