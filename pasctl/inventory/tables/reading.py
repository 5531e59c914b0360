"""What was understood of a table of answers, as data and as lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pasctl.inventory.items import listing

_NAMED = 6


@dataclass(frozen=True)
class ColumnReading:
    """What was understood of a column.

    Attributes:
        column: Its name.
        meaning: "id", "item", "items" and "answers" of a long table, or "attribute".
        item: The item's id, for a column of an item.
        values: How many different values were counted.
        many: Whether counting ended there, with more to come.
        missing: How many of its cells are empty.
    """

    column: str
    meaning: str
    item: str = ""
    values: int = 0
    many: bool = False
    missing: int = 0


@dataclass(frozen=True)
class TableReading:
    """What was understood of a table of answers.

    Attributes:
        path: The file.
        form: What was found out about the file, such as {"separator": "semicolons"}.
        layout: "wide" or "long".
        id_column: Of the respondents' names; "" where their rows are counted.
        items: How many items have a column or occur.
        items_by: How they were recognised: "name", "text", "order" or "map".
        columns: Column by column.
        missing_codes: Value -> for how many answers it stood.
        labels: Label -> how many answers were given by it.
        reversed_names: Columns whose names end in R.
        respelled: Columns that are spelled otherwise than the item's id.
        recoded: Answers that the map's scale gave another score.
        turned: Columns whose answers were reversed since the map says so.
        decimal_commas: Answers with a decimal comma.
        respondents: How many there are.
        unanswered: How many of them have no answer at all.
    """

    path: str
    form: Mapping[str, str]
    layout: str
    id_column: str
    items: int
    items_by: str
    columns: tuple[ColumnReading, ...]
    missing_codes: Mapping[str, int]
    labels: Mapping[str, int]
    reversed_names: tuple[str, ...] = ()
    respelled: tuple[str, ...] = ()
    recoded: int = 0
    turned: tuple[str, ...] = ()
    decimal_commas: int = 0
    respondents: int = 0
    unanswered: int = 0

    @property
    def attributes(self) -> tuple[str, ...]:
        """Columns that are no answers; respondents can be selected by them."""
        return tuple(column.column for column in self.columns if column.meaning == "attribute")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"columns": [asdict(column) for column in self.columns]}

    def lines(self) -> list[str]:
        """A line per kind of guess; none about what is as documented."""
        found = [f"{name} {value}" for name, value in self.form.items() if value not in ("commas", "tabs")]
        if self.layout == "wide" and self.id_column.lower() not in ("id", "case", "persona"):
            found.append(
                f"names from column {self.id_column!r}" if self.id_column else "no column of names: r1, r2, .."
            )
        if self.layout == "long" and not self.id_column:
            found.append("no column persona, case or id, so all answers are those of one persona")
        if self.items_by not in ("name", "map"):
            found.append(f"{self.items} items by {self.items_by}")
        elif self.respelled:
            found.append(f"{self.items} items by name, such as {self.respelled[0]!r}")
        if self.missing_codes:
            codes = [f"{code!r} ({times})" for code, times in self.missing_codes.items()]
            found.append(f"missing answers: {listing(codes, _NAMED)}")
        if self.labels:
            found.append(f"{sum(self.labels.values())} answers by label, such as {next(iter(self.labels))!r}")
        if self.decimal_commas:
            found.append("decimal commas")
        if self.recoded:
            found.append(f"{self.recoded} answers recoded as the map says")
        if self.turned:
            found.append(f"reversed as the map says: {listing(self.turned, _NAMED)}")
        if self.attributes:
            found.append(f"columns that are not read: {listing(self.attributes, _NAMED)}")
        lines = [f"reading {self.path}: {'; '.join(found)}"] if found else []
        if self.reversed_names:
            lines.append(
                f"reading {self.path}: columns end in R ({listing(self.reversed_names, _NAMED)}) and are taken as they "
                "are; where they hold reversed answers, say so with --map FILE, reversed: [column]"
            )
        if self.unanswered:
            lines.append(
                f"reading {self.path}: {self.unanswered} of {self.respondents} respondents have no answer; "
                ":where=answered>0 leaves them out"
            )
        return lines
