"""A panel: what a model answers as each of many persons under one condition, and what these persons answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.metrics import GROUP
from pasctl.evaluation.personal import are_poles
from pasctl.evaluation.rows import Rows, ends
from pasctl.evaluation.scores import keyed
from pasctl.inventory.usual import in_order

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_PERSONS = 20
"""Persons that a panel needs: loadings and thresholds of fewer say next to nothing."""
MOST_PERSONS = 500
"""Persons who are used, evenly apart where there are more: time goes with their number."""
_COLUMNS = {*GROUP, "draw", "persona", "item", "trait", "key", "agreement", "expected", "argmax"}


@dataclass(frozen=True, eq=False)
class Panel:
    """Answers of P persons to I items in keyed terms: reversed on items keyed -1, on each item's own scale.

    Attributes:
        reading: how the model's answers were read.
        condition: what the model was prompted with, and whether it was steered.
        setting: how alpha was given, "" where nothing is steered.
        personas: names [P].
        items: names [I].
        traits: the trait of each item [I].
        low: lowest score of each item [I].
        high: highest score of each item [I].
        people: what the persons answered [P, I], NaN where missing.
        expected: the model's expected answers [P, I].
        answers: the model's answers as whole scores [P, I].
    """

    reading: str
    condition: str
    setting: str
    personas: tuple[str, ...]
    items: tuple[str, ...]
    traits: tuple[str, ...]
    low: Floats
    high: Floats
    people: Floats
    expected: Floats
    answers: Floats

    @property
    def trait_codes(self) -> list[str]:
        """The traits that have items, each once."""
        return in_order(self.traits)

    def columns(self, trait: str) -> Ints:
        """The columns of a trait's items."""
        return np.flatnonzero(np.array(self.traits) == trait)


def panels(rows: Rows) -> Iterator[Panel]:
    """The panel of each reading, condition and setting of a model with enough persons; none of trait poles.

    Where several random directions are drawn, the first of them. Rows of early versions, which lack columns, have none.

    Args:
        rows: in the format of `rows.SCHEMA`.
    """
    if not set(rows) >= _COLUMNS or not len(rows) or are_poles(rows):
        return
    ours = rows[rows["condition"].isin(list(CONDITIONS)) & (rows["reading"] != "")]
    for (reading, condition, setting), group in ours.groupby(list(GROUP), sort=False):
        first = group[group["draw"] == group["draw"].min()]
        names = first["persona"].unique()
        if len(names) < FEWEST_PERSONS:
            continue
        if len(names) > MOST_PERSONS:
            names = names[np.linspace(0, len(names) - 1, MOST_PERSONS).round().astype(np.int64)]
            first = first[first["persona"].isin(names)]
        yield _panel(str(reading), str(condition), str(setting), first)


def _panel(reading: str, condition: str, setting: str, rows: Rows) -> Panel:
    persons, personas = pd.factorize(rows["persona"])
    columns, items = pd.factorize(rows["item"])
    low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), len(rows)) for end in ends(rows))
    of_item = np.unique(columns, return_index=True)[1]

    def matrix(name: str) -> Floats:
        values = np.full((len(personas), len(items)), np.nan)
        values[persons, columns] = keyed(rows[name].to_numpy(np.float64), rows["key"].to_numpy(), low + high)
        return values

    return Panel(
        reading,
        condition,
        setting,
        tuple(map(str, personas)),
        tuple(map(str, items)),
        tuple(map(str, rows["trait"].to_numpy()[of_item])),
        low[of_item],
        high[of_item],
        matrix("agreement"),
        matrix("expected"),
        matrix("argmax"),
    )
