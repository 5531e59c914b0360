"""CSV, TSV and XLSX as the document of an inventory: a row per item, and around them what a table can say.

A CSV file may begin with comment lines, `# scale: Never | Sometimes | Always`, `# language: de`,
`# trait Mach: Machiavellianism`; in a workbook the sheet `settings` has them as rows of name and value, and the sheets
`scale`, `traits`, `norms` and `correlations` are tables of their own. The first sheet holds the items.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.errors import InputError
from pasctl.inventory.files.items import FIELDS as ITEM_FIELDS
from pasctl.inventory.files.language import LISTS, TEXTS
from pasctl.inventory.files.node import Node, unknown
from pasctl.inventory.files.scales import FIELDS as SCALE_FIELDS
from pasctl.inventory.files.scales import USUAL_LABELS
from pasctl.inventory.files.traits import FIELDS as TRAIT_FIELDS
from pasctl.inventory.files.traits import NORM_FIELDS

_PLAIN = ("name", "language", "option_labels", "seed", "scale")
_OF_SCALE = tuple(name for name in SCALE_FIELDS if name != "labels")
SETTINGS = (*_PLAIN, *_OF_SCALE, *TEXTS, *LISTS)
SHEETS = ("settings", "scale", "traits", "norms", "correlations")
_MOST_ROWS = 20_000
_TRAIT = "trait "
_MARKS = ",;\t"
ASSUMED = "it names no scale, so answers are taken to run from 1 (Strongly disagree) to 5 (Strongly agree)"


@dataclass(frozen=True)
class Row:
    """A row of a table: where it stands, and its cells as text."""

    where: str
    cells: Sequence[str]


def csv_document(text: str, name: str, *, tabs: bool) -> Node:
    """The document of a CSV or TSV text.

    Args:
        text: of the file.
        name: of the file, for messages.
        tabs: whether tabs separate the cells; else it is what the header has most of: comma, semicolon or tab.
    """
    lines = text.splitlines(keepends=True)
    comments = 0
    while comments < len(lines) and (not lines[comments].strip(" ,;\t\r\n") or _is_comment(lines[comments])):
        comments += 1
    settings = [
        _setting(line, f"{name}, line {number}") for number, line in enumerate(lines[:comments], 1) if _is_comment(line)
    ]
    header = lines[comments] if comments < len(lines) else ""
    mark = "\t" if tabs else max(_MARKS, key=header.count)
    rows = _csv_rows("".join(lines[comments:]), mark, name, comments)
    return _document(name, settings, _table(list(rows), ITEM_FIELDS, "items"), {})


def _csv_rows(text: str, mark: str, name: str, before: int) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    line = before + 1
    try:
        for number, cells in enumerate(reader):
            if number > _MOST_ROWS:
                raise InputError(f"{name}: expected at most {_MOST_ROWS:,} rows, found more")
            yield Row(f"{name}, line {line}", cells)
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}, line {line}: not readable as a table: {error}") from error


def _is_comment(line: str) -> bool:
    return line.lstrip(' "').startswith("#")


def _setting(line: str, where: str) -> tuple[str, Node]:
    """Name and value of `# name: value`; a spreadsheet may have put it in quotes, and empty cells behind it."""
    said = line.strip().rstrip(",;\t")
    if said.startswith('"'):
        said = said.strip('"').replace('""', '"')
    name, colon, value = said.lstrip("# ").partition(":")
    return (name.strip() if colon else "", Node(where, value.strip()))


def workbook_document(sheets: dict[str, list[list[Any]]], name: str) -> Node:
    """The document of a workbook's sheets."""
    if not sheets:
        raise InputError(f"{name}: expected a sheet with items, found no sheet")
    first, *others = sheets
    strange = next((sheet for sheet in others if sheet.casefold() not in SHEETS and _filled(sheets[sheet])), None)
    if strange is not None:
        raise unknown(name, f"sheet {strange!r}", strange, SHEETS)
    rows = {sheet.casefold(): _sheet_rows(sheets[sheet], sheet, name) for sheet in others if _filled(sheets[sheet])}
    settings = [
        (row.cells[0], Node(row.where, row.cells[1] if len(row.cells) > 1 else "")) for row in rows.pop("settings", [])
    ]
    settings = [pair for pair in settings if [pair[0].casefold(), str(pair[1].value).casefold()] != ["name", "value"]]
    tables: dict[str, list[Node]] = {}
    for sheet, columns in (("traits", TRAIT_FIELDS), ("norms", NORM_FIELDS), ("correlations", ("a", "b", "r"))):
        if sheet in rows:
            tables[sheet] = _table(rows[sheet], columns, sheet)
    if "scale" in rows:
        settings.append(("scale", _scale_sheet(rows["scale"])))
    items = _table(_sheet_rows(sheets[first], first, name), ITEM_FIELDS, "items")
    return _document(name, settings, items, tables)


def _filled(rows: list[list[Any]]) -> bool:
    return any(str(cell).strip() for row in rows for cell in row)


def _sheet_rows(rows: list[list[Any]], sheet: str, name: str) -> list[Row]:
    return [
        Row(f"{name}, sheet {sheet}, row {number}", [_cell(cell) for cell in row])
        for number, row in enumerate(rows, 1)
        if any(str(cell).strip() for cell in row)
    ]


def _cell(value: Any) -> str:
    """A cell as text: a spreadsheet's whole numbers are floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _table(rows: Iterable[Row], columns: Sequence[str], what: str) -> list[Node]:
    """A mapping for each row below the header."""
    filled = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if not filled:
        return []
    header = [cell.strip().casefold() for cell in filled[0].cells]
    for name, cell in zip(header, filled[0].cells, strict=True):
        if name and name not in columns:
            if what == "items" and "text" not in header:
                raise InputError(
                    f"{filled[0].where}: expected the columns id, text, trait and key of items, found {cell.strip()!r}",
                    hint="a table of answers is given with --personas, beside the --inventory that it answers",
                )
            raise unknown(filled[0].where, f"column {cell.strip()!r} of {what}", name, columns)
        if name and header.count(name) > 1:
            raise InputError(f"{filled[0].where}: column {name} occurs twice")
    return [_mapping(row, header) for row in filled[1:]]


def _mapping(row: Row, header: Sequence[str]) -> Node:
    if any(cell.strip() for cell in row.cells[len(header) :]):
        raise InputError(
            f"{row.where}: expected {len(header)} cells, found {len(row.cells)}",
            hint="put a text that holds the separator in quotes",
        )
    fields = {
        name: Node(f"{row.where}, column {name}", cell.strip())
        for name, cell in zip(header, row.cells, strict=False)
        if name
    }
    return Node(row.where, fields)


def _scale_sheet(rows: list[Row]) -> Node:
    """{score: label} of a table with these columns, or the labels of one column, from the lowest answer up."""
    header = [cell.casefold() for cell in rows[0].cells if cell]
    if sorted(header) == ["label", "score"]:
        table = _table(rows, ("score", "label"), "scale")
        numbered: dict[str, Node] = {}
        for row in table:
            fields = row.fields(("score", "label"), "a row of the scale")
            if len(fields) < 2:
                raise row.refusal("a score and a label")
            numbered[fields["score"].text("a score")] = fields["label"]
        return Node(rows[0].where, numbered)
    if header == ["label"]:
        return Node(rows[0].where, [Node(row.where, row.cells[0]) for row in rows[1:]])
    raise InputError(f"{rows[0].where}: expected the columns score and label, found {', '.join(header)}")


def _document(
    name: str, settings: Iterable[tuple[str, Node]], items: list[Node], tables: dict[str, list[Node]]
) -> Node:
    """What the parts of a table say, in the fields of a document."""
    fields: dict[str, Node] = {}
    groups: dict[str, dict[str, Node]] = {"scale": {}, "wording": {}, "traits": {}}
    for said, value in settings:
        key = said.casefold().replace(" ", "_")
        if said.casefold().startswith(_TRAIT):
            target, key = groups["traits"], said[len(_TRAIT) :].strip()
        elif key in _PLAIN:
            target = fields
        elif key in _OF_SCALE:
            target = groups["scale"]
        elif key in (*TEXTS, *LISTS):
            target = groups["wording"]
        else:
            raise unknown(value.where, f"setting {said!r}", key, (*SETTINGS, "trait CODE"))
        if key in target:
            raise InputError(f"{value.where}: {said} occurs twice")
        target[key] = value
    if "scale" in fields and groups["scale"]:
        raise fields["scale"].refusal("scale, or points with low and high, not both")
    fields |= {key: Node(next(iter(group.values())).where, dict(group)) for key, group in groups.items() if group}
    fields |= {key: Node(rows[0].where, list(rows)) for key, rows in tables.items() if rows}
    if "correlations" in tables:
        fields["correlations"] = Node(name, [_pair(row) for row in tables["correlations"]])
    if "scale" not in fields and any(not _own_scale(item) for item in items):
        fields["scale"] = Node(name, [Node(name, label) for label in USUAL_LABELS])
    return Node(name, fields | {"items": Node(name, list(items))})


def _pair(row: Node) -> Node:
    cells = row.fields(("a", "b", "r"), "a correlation")
    return Node(row.where, [cells[key] for key in ("a", "b", "r") if key in cells])


def _own_scale(item: Node) -> bool:
    fields = item.value if isinstance(item.value, dict) else {}
    return any(name in fields and not fields[name].empty for name in ("options", "scale"))
