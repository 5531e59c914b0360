"""Which columns of a table are respondents' names, items, answers and attributes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.tables.item_names import NO_ITEMS, ItemNames, counted_series, item_names, mapped_names
from pasctl.inventory.tables.table import ColumnValues, Table, plain
from pasctl.inventory.tables.table_map import TableMap

STRICT_NAMES = ("id", "case", "persona")
"""Columns of respondents' names in the documented forms: exactly one of them."""
_NAMES = (
    *STRICT_NAMES,
    *("responseid", "respondentid", "respondent", "participantid", "participant", "recordid", "subjectid", "subject"),
    *("personid", "person", "caseid", "userid", "user", "pid", "prolificpid", "prolificid", "workerid", "idno"),
    *("seqn", "uuid", "sessionid", "token", "resid", "rowname"),
)
_ITEMS = ("item", "itemid", "id", "question", "questionid", "variable", "itemname", "itemcode")
_ANSWERS = ("agreement", "answer", "response", "resp", "score", "value", "rating", "answervalue")


@dataclass(frozen=True)
class Layout:
    """What the columns of a table are, by their places.

    Attributes:
        long: Whether a row is an answer, not a respondent.
        name: Of the respondents' names; None where there are none.
        items: Wide: the columns of items.
        item: Long: the column of items.
        answer: Long: the column of answers.
        attributes: All other columns.
    """

    long: bool
    name: int | None
    items: ItemNames = NO_ITEMS
    item: int = -1
    answer: int = -1
    attributes: tuple[int, ...] = ()


def layout_of(table: Table, columns: Sequence[ColumnValues], said: TableMap, inventory: Inventory) -> Layout:
    """The layout of a table, as the user says or as its columns' names show.

    Raises:
        InputError: it cannot be told; the message names the columns and what to say about them.
    """
    for column in (said.id, said.item, said.answer):
        if column and column not in table.header:
            raise InputError(
                f"{table.path}: the map names column {column!r}, which is not there",
                hint=f"there are {listing(table.header, 8)}",
            )
    simple = [_simple(name) for name in table.header]
    item, answer = _long_columns(table, simple, said)
    long = said.layout == "long" or (said.layout != "wide" and item is not None and answer is not None)
    if long and not (said.layout or said.item or said.answer):
        long = sum(name in inventory.position for name in table.header) < 2  # a column per item says more
    if not long:
        return _wide(table, columns, simple, said, inventory)
    if item is None or answer is None:
        raise InputError(
            f"{table.path}: columns item and agreement are expected, found {listing(table.header)}",
            hint="name them with --map FILE: item: COLUMN, answer: COLUMN",
        )
    name = _long_name(table, simple, said, item)
    others = tuple(at for at in range(len(simple)) if at not in (item, answer, name))
    return Layout(True, name, item=item, answer=answer, attributes=others)


def _long_columns(table: Table, simple: Sequence[str], said: TableMap) -> tuple[int | None, int | None]:
    word = next((name for name in _ANSWERS if name in simple), "")
    if word and not said.answer and simple.count(word) > 1:
        raise InputError(
            f"{table.path}: column {word!r} occurs twice", hint="say which with --map FILE: answer: COLUMN"
        )
    answer = table.header.index(said.answer) if said.answer else simple.index(word) if word else None
    if said.item:
        return table.header.index(said.item), answer
    item = next((simple.index(name) for name in _ITEMS if name in simple and simple.index(name) != answer), None)
    if item is not None and simple[item] == "id" and answer is not None and simple[answer] != "agreement":
        return None, answer  # a respondent's id is likelier
    return item, answer


def _long_name(table: Table, simple: Sequence[str], said: TableMap, item: int) -> int | None:
    if said.id is not None:
        return table.header.index(said.id) if said.id else None
    places = [at for at, name in enumerate(simple) if name in STRICT_NAMES and at != item]
    if len(places) > 1:
        raise _two_names(table, places)
    if places:
        return places[0]
    return next((simple.index(name) for name in _NAMES if name in simple and simple.index(name) != item), None)


def _wide(
    table: Table, columns: Sequence[ColumnValues], simple: Sequence[str], said: TableMap, inventory: Inventory
) -> Layout:
    if said.items or said.pattern:
        items = mapped_names(said.items, said.pattern, table.header, inventory, str(table.path))
    else:
        try:
            candidates = [name for name in table.header if name != said.id]
            items = item_names(candidates, table.questions, inventory)
        except InputError as error:
            raise InputError(f"{table.path}: {error.message}", hint=error.hint) from error
    if not items.place:
        raise _no_items(table, inventory)
    place = {table.header.index(name) for name in items.place}
    name = _wide_name(table, columns, simple, said, place)
    others = tuple(at for at in range(len(simple)) if at not in place and at != name)
    return Layout(False, name, items, attributes=others)


def _wide_name(
    table: Table, columns: Sequence[ColumnValues], simple: Sequence[str], said: TableMap, items: set[int]
) -> int | None:
    if said.id is not None:
        return table.header.index(said.id) if said.id else None
    strict = [at for at, name in enumerate(simple) if name in STRICT_NAMES and at not in items]
    if len(strict) > 1:
        raise _two_names(table, strict)
    if strict:
        return strict[0]
    likely = [at for word in _NAMES for at, name in enumerate(simple) if name == word and at not in items]
    for at in likely:
        if _unique(columns[at]):
            return at
    repeated = next((at for at in likely if columns[at].counts and not columns[at].counts[""]), None)
    if repeated is not None:
        name = table.header[repeated]
        value = columns[repeated].counts.most_common(1)[0][0]
        raise InputError(
            f"{table.path}: column {name!r} seems to name the respondents, but {value!r:.60} is in several rows",
            hint="--map FILE with id: null takes each row as a respondent, with id: COLUMN names another column",
        )
    return None


def _unique(column: ColumnValues) -> bool:
    return column.counts[""] == 0 and (column.many or max(column.counts.values(), default=0) == 1)


def _two_names(table: Table, places: Sequence[int]) -> InputError:
    both = " and ".join(table.header[at] for at in places)
    return InputError(
        f"{table.path}: one column id, case or persona is expected, found {both}",
        hint=f"say which with --map FILE: id: {table.header[places[0]]}",
    )


def _no_items(table: Table, inventory: Inventory) -> InputError:
    series = counted_series(table.header)
    about = f"such as {series}" if series else listing(table.header)
    first = inventory.items[0].id
    if not table.header:
        return InputError(
            f"{table.path}: no column was found, expected one for each item", hint="give a table of answers"
        )
    example = series.split(",")[0] if series else table.header[-1]
    near = difflib.get_close_matches(first, table.header, n=1)
    return InputError(
        f"{table.path}: no column is an item of inventory {inventory.name} ({first}, ..): columns are {about}",
        hint=f"say which column is which item with --map FILE, items: {{{first}: {near[0] if near else example}, ..}}, "
        "or name the inventory that was answered with --inventory",
    )


def _simple(name: str) -> str:
    return "".join(sign for sign in plain(name) if sign.isalnum())
