"""Respondents from a table of answers of any form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory
from pasctl.inventory.naming import label_of
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.tables.item_names import ItemNames
from pasctl.inventory.tables.layout import Layout, layout_of
from pasctl.inventory.tables.long import long_respondents
from pasctl.inventory.tables.reading import ColumnReading, TableReading
from pasctl.inventory.tables.source import open_table
from pasctl.inventory.tables.table import ColumnValues, Table, count_values
from pasctl.inventory.tables.table_map import NO_MAP, TableMap
from pasctl.inventory.tables.values import Guesses
from pasctl.inventory.tables.wide import Respondents, wide_respondents, wide_scores

_FORM = "a table has a row of column names, and rows of answers"


@dataclass(frozen=True)
class TableAnswers:
    """Respondents of a table, with what was understood of it.

    Attributes:
        personas: Their answers as stored, on the inventory's scale.
        attributes: Other columns -> what they say of each respondent.
        reading: What was understood.
    """

    personas: PersonaSet
    attributes: Mapping[str, Sequence[str]]
    reading: TableReading


def read_table(path: Path | str, inventory: Inventory, said: TableMap = NO_MAP, note: Note = silent) -> TableAnswers:
    """The respondents of a file of rows.

    Args:
        path: The file; see `pasctl.inventory.tables.source` for the formats.
        inventory: What was answered.
        said: What the user says about the table.
        note: Is told what was guessed.

    Raises:
        InputError: what cannot be understood, in one line that names the column and what to say about it.
        MissingError: there is no such file, or a package that reads it is not installed.
    """
    answers = understood(open_table(Path(path), said, inventory), inventory, said)
    for line in answers.reading.lines():
        note(line)
    return answers


def understood(table: Table, inventory: Inventory, said: TableMap = NO_MAP) -> TableAnswers:
    """The respondents of a table; arguments and errors are those of `read_table`."""
    columns = count_values(table)
    layout = layout_of(table, columns, said, inventory)
    if not any(columns[0].counts.values()):
        raise InputError(f"{table.path}: no answers found", hint=_FORM)
    guesses = Guesses()
    if layout.long:
        respondents, items = long_respondents(table, layout, said, inventory, guesses)
    else:
        items = layout.items
        scores = wide_scores(table, columns, layout, said, inventory, guesses)
        parts = list(wide_respondents(table, layout, scores, inventory))
        respondents = _together(parts, inventory)
    if not layout.long:
        _require_unique(table, layout, respondents.ids)
    personas = PersonaSet(label_of(table.path), respondents.ids, respondents.answers)
    reading = reading_of(table, columns, layout, items, guesses, said, inventory)
    unanswered = int(np.count_nonzero(np.isnan(respondents.answers).all(axis=1)))
    return TableAnswers(
        personas,
        respondents.attributes,
        reading(len(respondents.ids), unanswered),
    )


def reading_of(
    table: Table,
    columns: Sequence[ColumnValues],
    layout: Layout,
    items: ItemNames,
    guesses: Guesses,
    said: TableMap,
    inventory: Inventory,
) -> Callable[[int, int], TableReading]:
    """What was understood, once respondents and those without an answer have been counted."""
    item_of = {} if layout.long else items.place
    ids = [item.id for item in inventory.items]
    meanings = {layout.name: "id"} | ({layout.item: "items", layout.answer: "answers"} if layout.long else {})
    read = tuple(
        ColumnReading(
            column=name,
            meaning="item" if name in item_of else meanings.get(at, "attribute"),
            item=ids[item_of[name]] if name in item_of else "",
            values=len(columns[at].answered),
            many=columns[at].many,
            missing=columns[at].counts[""],
        )
        for at, name in enumerate(table.header)
    )
    return lambda count, unanswered: TableReading(
        path=str(table.path),
        form=dict(table.facts),
        layout="long" if layout.long else "wide",
        id_column="" if layout.name is None else table.header[layout.name],
        items=len(items.place),
        items_by=items.by,
        columns=read,
        missing_codes=dict(guesses.missing),
        labels=dict(guesses.labels),
        reversed_names=tuple(name for name in items.reversed if name not in said.reversed),
        respelled=items.respelled,
        recoded=guesses.recoded,
        turned=said.reversed,
        decimal_commas=guesses.decimal_commas,
        respondents=count,
        unanswered=unanswered,
    )


def _together(parts: Sequence[Respondents], inventory: Inventory) -> Respondents:
    if len(parts) == 1:
        return parts[0]
    names = parts[0].attributes if parts else ()
    return Respondents(
        tuple(name for part in parts for name in part.ids),
        np.concatenate([np.empty((0, len(inventory))), *(part.answers for part in parts)]),
        {name: [cell for part in parts for cell in part.attributes[name]] for name in names},
    )


def _require_unique(table: Table, layout: Layout, ids: Sequence[str]) -> None:
    twice = next((name for name, times in Counter(ids).items() if times > 1), None)
    if twice is None or layout.name is None:
        return
    lines = [
        line
        for block in table.blocks()
        for line, name in zip(block.lines, block.columns[layout.name], strict=True)
        if name == twice
    ]
    raise InputError(
        f"{table.path}: {table.what} {lines[1]}: respondent {twice} occurs twice",
        hint="--map FILE with id: null counts the rows, or id: COLUMN names another column",
    )
