"""Rows of one condition as matrices of personas and items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.rows import Columns, RowItems

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Group:
    """What P personas were answered on I items.

    Attributes:
        personas: their names, length P.
        items: the I items.
        expected, argmax, agreements, option_mass: [P, I], NaN where there is no row.
    """

    personas: tuple[str, ...]
    items: RowItems
    expected: Matrix
    argmax: Matrix
    agreements: Matrix
    option_mass: Matrix


def split_groups(rows: Columns, group_by: Sequence[str] = ("condition", "alpha")) -> dict[tuple[Any, ...], Group]:
    """Groups of rows by the values of some columns, in the order in which these first appear.

    Raises:
        InputError: a persona has two rows for an item within a group.
    """
    members: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(zip(*(rows[name].tolist() for name in group_by), strict=True)):
        members.setdefault(key, []).append(row)
    return {
        key: _pivot(
            {name: values[picked] for name, values in rows.items()},
            f"rows of {dict(zip(group_by, key, strict=True))}",
        )
        for key, picked in members.items()
    }


def _pivot(group: Columns, what: str) -> Group:
    """Long rows as matrices."""
    persona_at = {persona: n for n, persona in enumerate(dict.fromkeys(group["persona"].tolist()))}
    item_at = {item: n for n, item in enumerate(dict.fromkeys(group["item"].tolist()))}
    where_persona = np.array([persona_at[persona] for persona in group["persona"]])
    where_item = np.array([item_at[item] for item in group["item"]])
    cell = where_persona * len(item_at) + where_item
    if len(np.unique(cell)) != len(cell):
        raise InputError(f"{what}: expected one row per persona and item, found several", hint="group by more columns")
    first = np.unique(where_item, return_index=True)[1]
    items = RowItems(
        ids=tuple(item_at),
        traits=tuple(group["trait"][first]),
        facets=tuple(group["facet"][first]),
        keys=group["key"][first].astype(np.int8),
    )
    dense = []
    for name in ("expected", "argmax", "agreement", "option_mass"):
        matrix = np.full((len(persona_at), len(item_at)), np.nan)
        matrix[where_persona, where_item] = group[name]
        dense.append(matrix)
    return Group(tuple(persona_at), items, *dense)
