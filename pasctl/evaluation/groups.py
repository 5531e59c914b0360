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
    """What P personas were answered on I items, in D draws of random directions, 1 where nothing is drawn.

    Attributes:
        personas: their names, length P.
        items: the I items.
        steered: whether anything is displaced, at alpha 0 by nothing.
        alphas: [P], the strength each was steered with.
        agreements: [P, I], NaN where missing.
        expected, argmax, option_mass, order_spread: [D, P, I], NaN where there is no row.
    """

    personas: tuple[str, ...]
    items: RowItems
    steered: bool
    alphas: Matrix
    agreements: Matrix
    expected: Matrix
    argmax: Matrix
    option_mass: Matrix
    order_spread: Matrix


def split_groups(rows: Columns, group_by: Sequence[str] = ("condition", "setting")) -> dict[tuple[Any, ...], Group]:
    """Groups of rows by the values of some columns, in the order in which these first appear.

    Raises:
        InputError: a persona has two rows for an item within a group and a draw.
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
    draws, where_draw = np.unique(group["draw"], return_inverse=True)
    cell = (where_draw * len(persona_at) + where_persona) * len(item_at) + where_item
    if len(np.unique(cell)) != len(cell):
        raise InputError(f"{what}: expected one row per persona and item, found several", hint="group by more columns")
    first = np.unique(where_item, return_index=True)[1]
    items = RowItems(
        ids=tuple(item_at),
        traits=tuple(group["trait"][first]),
        facets=tuple(group["facet"][first]),
        keys=group["key"][first].astype(np.int8),
    )
    agreements = np.full((len(persona_at), len(item_at)), np.nan)
    agreements[where_persona, where_item] = group["agreement"]
    alphas = np.zeros(len(persona_at))
    alphas[where_persona] = group["alpha"]
    dense = {}
    for name in ("expected", "argmax", "option_mass", "order_spread"):
        dense[name] = np.full((len(draws), *agreements.shape), np.nan)
        dense[name][where_draw, where_persona, where_item] = group[name]
    return Group(tuple(persona_at), items, bool((group["setting"] != "").all()), alphas, agreements, **dense)
