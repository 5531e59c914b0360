"""Small tables of items and rows, made from matrices of personas and items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasctl.evaluation.metrics import metrics_table
from pasctl.evaluation.rows import Rows, prediction_rows


def item_frame(ids: Sequence[str], traits: Sequence[str], facets: Sequence[str], keys: Any) -> pd.DataFrame:
    """Items in the format of `rows.item_table`."""
    return pd.DataFrame(
        {"item": list(ids), "trait": list(traits), "facet": list(facets), "key": np.asarray(keys, dtype=np.int8)}
    )


def predicted(
    items: pd.DataFrame,
    expected: np.ndarray,
    agreements: np.ndarray,
    argmax: np.ndarray | None = None,
    option_mass: float = np.nan,
    *,
    condition: str = "pas",
    setting: str = "",
    personas: Sequence[str] = (),
) -> Rows:
    """Rows of matrices [P, I]; any number goes, also outside the scale."""
    names = list(personas) or [f"p{number}" for number in range(len(expected))]
    rows = prediction_rows(names, condition, items, agreements, np.nan_to_num(expected)).assign(setting=setting)
    return rows.assign(
        expected=np.ravel(expected), argmax=np.ravel(expected if argmax is None else argmax), option_mass=option_mass
    )


def metrics_of(
    expected: np.ndarray,
    argmax: np.ndarray | None,
    agreements: np.ndarray,
    items: pd.DataFrame,
    option_mass: float = np.nan,
) -> dict[str, Any]:
    """The metrics of one condition."""
    [found] = metrics_table(predicted(items, expected, agreements, argmax, option_mass))
    return found


PERSONAL: dict[str, Any] = {
    "distinctive_r": 0.124,
    "distinctive_r_interval": [0.09, 0.16],
    "wrong_person_r": -0.004,
    "wrong_person_r_interval": [-0.01, 0.01],
    "own_place": 7.1,
    "own_place_interval": [5.5, 8.7],
    "own_place_chance": 12.5,
    "own_top10": 0.375,
    "own_top10_chance": 0.125,
}
"""The personal metrics of a row, as `metrics_table` gives them."""


def level_scores(items: int) -> NDArray[np.float64]:
    """What the options of as many items on the usual scale score, [I, 5]."""
    return np.tile(np.arange(1.0, 6.0), (items, 1))
