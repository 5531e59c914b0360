"""A text file as a `Table`: rows with separators, or with characters at fixed places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.tables.header import header_of, title_rows
from pasctl.inventory.tables.table import Block, Table
from pasctl.inventory.tables.table_map import TableMap
from pasctl.inventory.tables.text_form import SEPARATORS, TextForm, numbered_rows, opened, text_form

_BLOCK = 8192  # rows
_LINES_OF_DIGITS, _FEWEST_DIGITS = 200, 20
_ROW_NAMES = "row name"
Rows = Iterable[tuple[int, list[str]]]


def text_table(path: Path, said: TableMap, inventory: Inventory) -> Table:
    """A file of rows whose fields a character separates.

    Raises:
        InputError: it is no text, has no row of names, a column twice, or a line of another length.
    """
    form = text_form(path, said.separator, said.encoding)
    if not said.separator and (digits := _digits_at_the_end(path, form, len(inventory))):
        return digits
    start = [cells for _, cells in islice(numbered_rows(path, form), 40)]
    if not start:
        raise InputError(f"{path}: no answers found", hint="a table has a row of column names, and rows of answers")
    title = title_rows(start)
    header = header_of(start[title:], said.header_rows, path, inventory)
    names, body = header.names, start[title + header.rows :]
    if body and all(len(cells) == len(names) + 1 and cells[-1] for cells in body):
        names = (_ROW_NAMES, *names)  # as R writes a table with row names
    names = distinct_names(names, path)

    def blocks() -> Iterator[Block]:
        return _blocks(_body(path, form, title + header.rows, len(names)), len(names))

    facts = [("separator", SEPARATORS.get(form.separator, repr(form.separator)))]
    if form.encoding != "utf-8":
        facts.append(("encoding", form.encoding))
    if title:
        facts.append(("lines before the header", str(title)))
    if header.rows > 1:
        facts.append(("header", f"{header.rows} rows{header.why}"))
    questions = {
        name: header.questions[old] for name, old in zip(names, header.names, strict=False) if header.questions
    }
    return Table(path, names, blocks, questions, facts=tuple(facts))


def fixed_table(path: Path, said: TableMap) -> Table:
    """A file whose lines have each column at the same characters.

    Raises:
        InputError: it is no text, or a line is too short.
    """
    encoding = text_form(path, ",", said.encoding).encoding
    longest = max(last for _, last in said.fixed.values())

    def rows() -> Iterator[tuple[int, list[str]]]:
        with opened(path, encoding) as stream:
            for number, line in enumerate(stream, 1):
                line = line.rstrip("\r\n")
                if not line.strip():
                    continue
                if len(line) < longest:
                    raise InputError(
                        f"{path}: line {number}: {longest} characters are expected, found {len(line)}",
                        hint="the map's key fixed says which characters are which column",
                    )
                yield number, [line[first - 1 : last].strip() for first, last in said.fixed.values()]

    facts = (("form", f"{longest} characters a line"),)
    return Table(path, tuple(said.fixed), lambda: _blocks(rows(), len(said.fixed)), facts=facts)


def _digits_at_the_end(path: Path, form: TextForm, count: int) -> Table | None:
    """Lines of one length that end in a digit per item, without a header, as Johnson's IPIP-NEO files have them."""
    with opened(path, form.encoding) as stream:
        lines = [line.rstrip("\r\n") for line in islice(stream, _LINES_OF_DIGITS)]
    lines = [line for line in lines if line.strip()]
    length = len(lines[0]) if lines else 0
    if count < _FEWEST_DIGITS or any(len(line) != length or not line[-count:].isdecimal() for line in lines):
        return None
    if length < count or (length > count and lines[0][-count - 1].isdecimal() and lines[0].isdecimal()):
        return None  # where the answers begin cannot be told
    before = {"line": (1, length - count)} if length > count else {}
    places = {f"item{n}": (at, at) for n, at in enumerate(range(length - count + 1, length + 1), 1)}
    table = fixed_table(path, TableMap(fixed=before | places, encoding=form.encoding))
    return replace(table, facts=(("form", f"no separators: the last {count} characters of each line are the items"),))


def rows_table(
    path: Path, rows: Sequence[list[str]], said: TableMap, inventory: Inventory, facts: tuple[tuple[str, str], ...]
) -> Table:
    """Rows that are in memory, those of the header first, as a spreadsheet has them."""
    numbered = [(number, cells) for number, cells in enumerate(rows, 1) if any(cells)]
    if not numbered:
        raise InputError(f"{path}: no answers found", hint="a table has a row of column names, and rows of answers")
    start = [cells for _, cells in numbered[:40]]
    title = title_rows(start)
    header = header_of(start[title:], said.header_rows, path, inventory)
    names, body = distinct_names(header.names, path), numbered[title + header.rows :]
    if header.rows > 1:
        facts = (*facts, ("header", f"{header.rows} rows{header.why}"))
    return Table(path, names, lambda: _blocks(body, len(names)), header.questions, facts=facts, what="row")


def _body(path: Path, form: TextForm, above: int, width: int) -> Iterator[tuple[int, list[str]]]:
    for number, cells in islice(numbered_rows(path, form), above, None):
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) != width:
            raise InputError(f"{path}: line {number} has {len(cells)} fields, the header has {width}")
        yield number, cells


def _blocks(rows: Rows, width: int) -> Iterator[Block]:
    stream = iter(rows)
    while block := list(islice(stream, _BLOCK)):
        yield Block([number for number, _ in block], list(zip(*(cells for _, cells in block), strict=True)))


def distinct_names(names: Sequence[str], path: Path) -> tuple[str, ...]:
    """Names of columns, those without one by their place.

    Raises:
        InputError: a name occurs twice.
    """
    named = tuple(name or (_ROW_NAMES if place == 0 else f"column {place + 1}") for place, name in enumerate(names))
    twice = [name for name, times in Counter(named).items() if times > 1]
    if twice:
        raise InputError(
            f"{path}: column {twice[0]!r} occurs twice"
            + (f", and so do {listing(twice[1:])}" if len(twice) > 1 else ""),
            hint="give each column a name of its own",
        )
    return named
