"""Respondents from a table with a row for each answer."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import FloatArray, IntArray, Inventory
from pasctl.inventory.naming import unknown_item
from pasctl.inventory.tables.item_names import ItemNames, item_names, mapped_names
from pasctl.inventory.tables.layout import Layout
from pasctl.inventory.tables.table import Table
from pasctl.inventory.tables.table_map import TableMap
from pasctl.inventory.tables.values import Guesses, Values, score_values
from pasctl.inventory.tables.wide import Respondents

_MOST_ITEMS = 100_000
_MANY = "name the respondents in a column persona, or with --map FILE, id: COLUMN"


@dataclass
class _Codes:
    """Numbers for texts, in the order of their first occurrence."""

    of: dict[str, int] = field(default_factory=dict)
    all: array[int] = field(default_factory=lambda: array("i"))

    def add(self, cells: Iterable[str]) -> None:
        of = self.of
        self.all.extend([of.setdefault(cell, len(of)) for cell in cells])

    @property
    def texts(self) -> list[str]:
        return list(self.of)


def long_respondents(
    table: Table, layout: Layout, said: TableMap, inventory: Inventory, guesses: Guesses
) -> tuple[Respondents, ItemNames]:
    """All respondents, and which items occur under which names.

    Raises:
        InputError: an item that the inventory does not have, an answer given twice, a respondent without a name, or a
            value that is neither an answer nor missing.
    """
    names, items, values, lines = _Codes(), _Codes(), _Codes(), array("q")
    attributes: list[dict[int, str]] = [{} for _ in layout.attributes]
    varying: set[int] = set()
    for block in table.blocks():
        persons = block.columns[layout.name] if layout.name is not None else [table.path.stem] * len(block.lines)
        if "" in persons:
            at = table.header[layout.name or 0]
            line = block.lines[list(persons).index("")]
            raise InputError(f"{table.path}: {table.what} {line}: a name is expected in column {at}, found none")
        names.add(persons)
        items.add(block.columns[layout.item])
        values.add(block.columns[layout.answer])
        lines.extend(block.lines)
        for place, column in enumerate(layout.attributes):
            for person, value in set(zip(persons, block.columns[column], strict=True)):
                if attributes[place].setdefault(names.of[person], value) != value:
                    varying.add(place)
    found = _items(table, items.texts, names, items, said, inventory)
    columns = np.array([found.place.get(item, -1) for item in items.texts])
    scores = _scores(table, layout, found, (items, values, lines), said, inventory, guesses)
    answers = _matrix(table, inventory, columns, scores, (names, items, values))
    kept = {
        table.header[column]: [attributes[place_of].get(code, "") for code in range(len(names.of))]
        for place_of, column in enumerate(layout.attributes)
        if place_of not in varying
    }
    return Respondents(tuple(names.texts), answers, kept), found


def _items(
    table: Table, names: list[str], persons: _Codes, items: _Codes, said: TableMap, inventory: Inventory
) -> ItemNames:
    if len(names) > _MOST_ITEMS:
        raise InputError(f"{table.path}: items are expected in its column of items, found {len(names)} different ones")
    if said.items or said.pattern:
        return mapped_names(said.items, said.pattern, names, inventory, str(table.path))
    found = item_names(names, {}, inventory)
    unknown = next((place for place, name in enumerate(names) if name not in found.place), None)
    if unknown is not None:
        person = persons.texts[persons.all[list(items.all).index(unknown)]]
        error = unknown_item(f"{table.path}: {person}", names[unknown], inventory)
        error.hint = f"{error.hint}; --map FILE says which is which item (items: {{item: name}})"
        raise error
    return found


def _scores(
    table: Table,
    layout: Layout,
    found: ItemNames,
    coded: tuple[_Codes, _Codes, Sequence[int]],
    said: TableMap,
    inventory: Inventory,
    guesses: Guesses,
) -> FloatArray:
    """The score of each value of each item [names of items, values], NaN where it is missing or does not occur."""
    items, values, lines = coded
    scores = np.full((len(items.of), len(values.of)), np.nan)
    pairs = np.asarray(items.all, dtype=np.int64) * len(values.of) + np.asarray(values.all, dtype=np.int64)
    occurring, first, times = np.unique(pairs, return_index=True, return_counts=True)
    names, texts, labels = items.texts, values.texts, table.value_labels.get(table.header[layout.answer], {})
    for scale in dict.fromkeys(inventory.scales):
        counts: dict[str, Counter[str]] = {}
        where: dict[str, dict[str, int]] = {}
        for pair, row, count in zip(occurring.tolist(), first.tolist(), times.tolist(), strict=True):
            name, value = names[pair // len(texts)], texts[pair % len(texts)]
            if name in found.place and inventory.scales[found.place[name]] == scale:
                counts.setdefault(name, Counter())[value] += count
                where.setdefault(name, {})[value] = lines[row]
        ids = {name: inventory.items[found.place[name]].id for name in counts}
        of = Values(counts, where, dict.fromkeys(counts, labels) if labels else {}, ids, str(table.path), table.what)
        for name, scored in score_values(of, scale, said, guesses).items():
            turn = name in said.reversed or ids[name] in said.reversed
            for value, score in scored.items():
                scores[items.of[name], values.of[value]] = scale.low + scale.high - score if turn else score
    return scores


def _matrix(
    table: Table,
    inventory: Inventory,
    place: IntArray,
    scores: FloatArray,
    coded: tuple[_Codes, _Codes, _Codes],
) -> FloatArray:
    names, items, values = (np.asarray(each.all, dtype=np.int64) for each in coded)
    columns = place[items]
    inside = columns >= 0
    cells = names[inside] * len(inventory) + columns[inside]
    if len(np.unique(cells)) < len(cells):
        _, first, times = np.unique(cells, return_index=True, return_counts=True)
        person, item = divmod(int(cells[first[times > 1].min()]), len(inventory))
        raise InputError(
            f"{table.path}: {coded[0].texts[person]} answers item {inventory.items[item].id} twice", hint=_MANY
        )
    answers = np.full((len(coded[0].of), len(inventory)), np.nan)
    answers.flat[cells] = scores[items[inside], values[inside]]
    return answers
