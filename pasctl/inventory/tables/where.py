"""Respondents selected by what else is known of them: `where=country=DE,age>=30`."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.items import listing
from pasctl.inventory.tables.table import canonical, number_of

ANSWERED = "answered"
"""The attribute that every respondent has: how many items they answered."""
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"(.+?)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """One of what must be true of a respondent: an attribute, a sign, and one of several values."""

    attribute: str
    sign: str
    values: tuple[str, ...]

    def holds(self, cells: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Of which cells it is true; a cell that is no number is neither more nor less than one."""
        if self.sign in _COMPARED:
            numbers = np.array([np.nan if (n := number_of(cell)) is None else n for cell in cells], dtype=np.float64)
            limit = float(number_of(self.values[0]) or 0)
            return np.asarray(_COMPARED[self.sign](numbers, limit), dtype=np.bool_)
        wanted = {canonical(value) for value in self.values}
        inside = np.array([canonical(cell) in wanted for cell in cells], dtype=np.bool_)
        return inside if self.sign == "=" else ~inside


def parse_where(text: str) -> tuple[Condition, ...]:
    """The conditions of `country=DE|AT,age>=30`: all must be true, and one of the values between bars.

    Raises:
        InputError: a part that is no condition.
    """
    conditions = []
    for part in text.split(","):
        said = _CONDITION.fullmatch(part.strip())
        if said is None or (said[2] in _COMPARED and number_of(said[3].strip()) is None):
            raise InputError(
                f"personas: where={text}: a condition such as country=DE, country=DE|AT or age>=30 is expected, found "
                f"{part!r}",
                hint="conditions have commas between them, and a range follows after a colon: where=country=DE:0-20",
            )
        values = said[3].split("|") if said[2] not in _COMPARED else [said[3]]
        conditions.append(Condition(said[1].strip(), said[2], tuple(value.strip() for value in values)))
    return tuple(conditions)


def rows_where(
    conditions: Sequence[Condition], attributes: Mapping[str, Sequence[str]], answered: Sequence[int], where: str
) -> npt.NDArray[np.bool_]:
    """Of which respondents all conditions are true.

    Raises:
        InputError: an attribute that the file does not have.
    """
    chosen = np.ones(len(answered), dtype=np.bool_)
    for condition in conditions:
        spelled = {name.casefold(): name for name in attributes}
        name = spelled.get(condition.attribute.casefold())
        if name is None and condition.attribute != ANSWERED:
            near = difflib.get_close_matches(condition.attribute, [*attributes, ANSWERED], n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {listing([*attributes, ANSWERED], 8)}"
            raise InputError(f"{where}: there is no column {condition.attribute!r} to select by", hint=hint)
        chosen &= condition.holds(attributes[name] if name is not None else [str(count) for count in answered])
    return chosen
