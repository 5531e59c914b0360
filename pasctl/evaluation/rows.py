"""The row format of results: one row per persona, condition, setting, draw and item, as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pasctl.errors import InputError
from pasctl.inventory.scale import USUAL_ENDS, USUAL_POINTS, Ends

if TYPE_CHECKING:
    from pasctl.inventory import Inventory

LOGPROBS = tuple(f"logprob_{level}" for level in range(1, USUAL_POINTS + 1))
"""Columns that every table has; one of an inventory with more options has more of them."""

Rows: TypeAlias = pd.DataFrame
"""A table with at least the columns of SCHEMA. Missing numbers are NaN here and null in Parquet."""

STATEMENT_COLUMNS = ("dlp", "dlp_spread", "logprob")
"""What statements have beside letters' columns."""

UNIT = ("persona", "condition", "setting", "alpha", "draw")
"""The columns that tell runs over the items apart."""

SCHEMA: dict[str, str] = {
    "reading": "string",  # "letters" or "statements"; "" in baselines
    "persona": "string",
    "condition": "string",
    "setting": "string",  # how alpha was given: "4", "auto", "oracle"; "" where nothing is steered
    "alpha": "float64",  # the strength that this persona was steered with
    "draw": "int8",  # which of several random directions; 0 elsewhere
    "item": "string",
    "trait": "string",
    "facet": "string",
    "key": "int8",
    "agreement": "float64",  # the person's own answer, on the item's scale, null where missing
    **dict.fromkeys(LOGPROBS, "float64"),  # of the option of lowest, .. highest score; null without letters
    "expected": "float64",  # the expected agreement; of statements the calibrated one
    "argmax": "int8",  # the most probable agreement, the lowest of equals; without letters expected, rounded
    "option_mass": "float64",  # probability of the options together before normalising; null without letters
    "option_orders": "int8",  # orders of the options averaged over; 0 without letters
    "order_spread": "float64",  # over these orders, the highest expected agreement minus the lowest; null with one
    "dlp": "float64",  # log-probability of the statement less that without a change, in nats, mean over prompts
    "dlp_spread": "float64",  # standard deviation of dlp over self-report prompts; null with one
    "logprob": "float64",  # of the statement, in nats, mean over prompts; these three are null without statements
}
"""The columns every results table has, with their Arrow types. A table may have more.

Where an item's scale is not the usual 1 to 5, `low` and `high` have the ends of each item's; see `ends`.
"""


def item_table(inventory: Inventory) -> pd.DataFrame:
    """What rows say about each item of an inventory, in its order: item, trait, facet, key (+1 or -1).

    And the ends of its scale, low and high, unless those of all items are as usual.
    """
    table = pd.DataFrame(
        {
            "item": [item.id for item in inventory.items],
            "trait": [item.trait for item in inventory.items],
            "facet": [item.facet for item in inventory.items],
            "key": inventory.keys.astype(np.int8),
        }
    )
    usual = (inventory.low == 1) & (inventory.high == USUAL_POINTS)
    return table if usual.all() else table.assign(low=inventory.low, high=inventory.high)


def ends(rows: pd.DataFrame) -> Ends:
    """The lowest and the highest score of each row's item: columns, or for the usual scale two numbers."""
    return (rows["low"], rows["high"]) if "low" in rows else USUAL_ENDS


def answer_rows(
    units: pd.DataFrame,
    items: pd.DataFrame,
    agreements: ArrayLike,
    level_logprobs: NDArray[np.floating[Any]],
    level_scores: NDArray[np.float64],
) -> Rows:
    """Rows of runs over the items, from what the model says.

    Args:
        units: the columns UNIT, U runs.
        items: as from `item_table`, I of them.
        agreements: the persons' answers [U, I], on the items' scales, NaN where missing.
        level_logprobs: [U, O, I, K] with O orders of the options: log-probability, over the whole vocabulary, of the
            letter that stands for the option of the lowest, .. highest score; NaN beyond an item's last. Orders are
            averaged as probabilities, after normalising each over its letters.
        level_scores: what these options score [I, K], NaN beyond an item's last.

    Raises:
        InputError: shapes that do not fit, or a log-probability that is NaN, infinite or above 0.
    """
    # NumPy sums in memory order: rows must be the same whether the values were just computed or read back
    raw = np.ascontiguousarray(level_logprobs, dtype=np.float64)
    levels = level_scores.shape[1]
    if raw.ndim != 4 or (raw.shape[0], *raw.shape[2:]) != (len(units), len(items), levels):
        raise InputError(
            f"rows: expected log-probabilities [{len(units)}, orders, {len(items)}, {levels}], found {list(raw.shape)}"
        )
    offered = np.isfinite(level_scores)
    _require_finite(np.where(offered, raw, 0.0), units)
    if not offered.all():
        raw = np.where(offered, raw, -np.inf)
    scores = np.where(offered, level_scores, 0.0)
    mass = np.logaddexp.reduce(raw, axis=3)  # [U, O, I]
    of_order = raw - mass[..., None]
    orders = raw.shape[1]
    logprobs = np.logaddexp.reduce(of_order, axis=1) - np.log(orders)  # [U, I, K]
    rows = _cross(units, items, agreements)
    columns = [f"logprob_{level}" for level in range(1, levels + 1)]
    rows[columns] = np.where(offered, logprobs, np.nan).reshape(-1, levels)
    if levels < USUAL_POINTS:
        rows[list(LOGPROBS[levels:])] = np.nan
    rows["expected"] = _expected(logprobs, scores).ravel()
    rows["argmax"] = scores[np.arange(len(scores)), logprobs.argmax(axis=2)].ravel().astype(np.int8)
    rows["option_mass"] = np.exp(mass).mean(axis=1).ravel()
    rows["option_orders"] = np.int8(orders)
    rows["order_spread"] = np.ptp(_expected(of_order, scores), axis=1).ravel() if orders > 1 else np.nan
    rows[list(STATEMENT_COLUMNS)] = np.nan
    return _of_reading("letters", rows)


def statement_rows(
    units: pd.DataFrame,
    items: pd.DataFrame,
    agreements: ArrayLike,
    totals: NDArray[np.float64],
    before: NDArray[np.float64],
    expected: NDArray[np.float64],
) -> Rows:
    """Rows of runs over the items, from the log-probabilities of statements.

    Args:
        units: the columns UNIT, U runs.
        items: as from `item_table`, I of them.
        agreements: the persons' answers [U, I], on the items' scales, NaN where missing.
        totals: log-probability of each statement behind M prompts [U, M, I], in nats.
        before: the same of the model left alone [M, I].
        expected: calibrated agreements [U, I].

    Raises:
        InputError: shapes that do not fit, or a log-probability that is NaN, infinite or above 0.
    """
    if totals.ndim != 3 or (totals.shape[0], totals.shape[2]) != (len(units), len(items)):
        raise InputError(
            f"rows: expected log-probabilities [{len(units)}, prompts, {len(items)}], found {list(totals.shape)}"
        )
    _require_finite(totals[..., None], units)
    moved = totals - before
    rows = _without_letters(_cross(units, items, agreements), expected)
    rows["dlp"] = moved.mean(axis=1).ravel()
    rows["dlp_spread"] = moved.std(axis=1, ddof=1).ravel() if moved.shape[1] > 1 else np.nan
    rows["logprob"] = totals.mean(axis=1).ravel()
    return _of_reading("statements", rows)


def prediction_rows(
    personas: Sequence[str], condition: str, items: pd.DataFrame, agreements: ArrayLike, predictions: ArrayLike
) -> Rows:
    """Rows of P personas from predictions [P, I] that no model made; argmax is these, rounded half to even.

    Raises:
        InputError: predictions of another shape, or that are no numbers.
    """
    expected = np.asarray(predictions, dtype=np.float64)
    if expected.shape != (len(personas), len(items)) or not np.isfinite(expected).all():
        raise InputError(
            f"{condition}: expected predictions [{len(personas)}, {len(items)}], found shape {list(expected.shape)}"
        )
    units = pd.DataFrame({"persona": list(personas), "condition": condition, "setting": "", "alpha": 0.0, "draw": 0})
    rows = _without_letters(_cross(units.astype({"draw": np.int8}), items, agreements), expected)
    rows[list(STATEMENT_COLUMNS)] = np.nan
    return _of_reading("", rows)


def to_table(rows: Rows) -> Any:
    """A pyarrow.Table with the types of SCHEMA, NaN as null, columns beyond SCHEMA kept.

    Raises:
        InputError: a column of SCHEMA is missing.
    """
    missing = [name for name in SCHEMA if name not in rows]
    if missing:
        raise InputError(f"rows: expected the columns of the results format, found none called {', '.join(missing)}")
    return to_arrow(rows)


def to_arrow(frame: pd.DataFrame) -> Any:
    """A pyarrow.Table of any columns, NaN as null; columns of SCHEMA have its types, other text is "string"."""
    import pyarrow as pa

    arrays = {}
    for name, values in frame.items():
        text = "string" if values.dtype.kind == "O" else None
        kind = SCHEMA.get(str(name), text)
        plain = values.to_numpy()  # an Arrow-backed column would come in chunks, which Parquet would store as pages
        arrays[str(name)] = pa.array(plain, type=kind and pa.type_for_alias(kind), from_pandas=True)
    return pa.table(arrays)


def from_table(table: Any) -> Rows:
    """The DataFrame of a pyarrow.Table that `to_table` made, in this or an earlier version; null numbers are NaN.

    Results of earlier versions are of letters.
    """
    frame: Rows = table.to_pandas()
    return frame if "reading" in frame or "condition" not in frame else _of_reading("letters", frame)


def _cross(units: pd.DataFrame, items: pd.DataFrame, agreements: ArrayLike) -> pd.DataFrame:
    """Every unit with every item, and what the person answered."""
    answers = np.asarray(agreements, dtype=np.float64)
    if answers.shape != (len(units), len(items)):
        raise InputError(f"rows: expected agreements [{len(units)}, {len(items)}], found shape {list(answers.shape)}")
    of_unit = units[list(UNIT)].iloc[np.repeat(np.arange(len(units)), len(items))].reset_index(drop=True)
    of_item = items.iloc[np.tile(np.arange(len(items)), len(units))].reset_index(drop=True)
    return pd.concat([of_unit, of_item], axis=1).assign(agreement=answers.ravel())


def _without_letters(rows: Rows, expected: NDArray[np.float64]) -> Rows:
    """The columns that come of expected agreements alone."""
    rows[list(LOGPROBS)] = np.nan
    rows["expected"] = expected.ravel()
    rows["argmax"] = np.round(rows["expected"]).clip(*ends(rows)).astype(np.int8)
    rows["option_mass"] = np.nan
    rows["option_orders"] = np.int8(0)
    rows["order_spread"] = np.nan
    return rows


def _expected(logprobs: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected scores [...] of log-probabilities [..., I, K] of options that score [I, K]."""
    chances = np.exp(logprobs)
    if (scores == scores[0]).all():  # one product, as for the usual scale
        same: NDArray[np.float64] = chances @ scores[0]
        return same
    mixed: NDArray[np.float64] = np.einsum("...ik,ik->...i", chances, scores)
    return mixed


def _of_reading(reading: str, rows: Rows) -> Rows:
    rows.insert(0, "reading", reading)
    return rows


def _require_finite(raw: NDArray[np.float64], units: pd.DataFrame) -> None:
    """Refuse log-probabilities [U, ...] that are none."""
    bad = ~(np.isfinite(raw) & (raw <= 1e-3)).all(axis=(1, 2, 3))
    if bad.any():
        unit = units.iloc[int(bad.argmax())]
        values = raw[bad.argmax()]
        raise InputError(
            f"persona '{unit.persona}', condition '{unit.condition}', alpha {unit.alpha:g}: "
            f"expected finite log-probabilities of at most 0, found {values.min():g} to {values.max():g}",
            hint="the model's logits overflowed: try --dtype float32 or a smaller alpha",
        )
