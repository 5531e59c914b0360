"""The row format of results: one row per persona, condition, alpha and item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.inventory import Inventory

LEVELS = np.arange(1, 6)

LOGPROBS = tuple(f"logprob_{level}" for level in LEVELS)

Columns = dict[str, NDArray[Any]]
"""A table as columns of one length. Missing numbers are NaN here and null in Parquet."""

SCHEMA: dict[str, str] = {
    "persona": "string",
    "condition": "string",
    "setting": "string",  # how alpha was given: "4", "auto", "oracle"; "" where nothing is steered
    "alpha": "float64",  # the strength that this persona was steered with
    "draw": "int8",  # which of several random directions; 0 elsewhere
    "item": "string",
    "trait": "string",
    "facet": "string",
    "key": "int8",
    "agreement": "float64",  # the person's own answer, 1..5, null where missing
    **dict.fromkeys(LOGPROBS, "float64"),  # of agreement level 1..5 among the five letters; null in baselines
    "expected": "float64",  # the expected agreement
    "argmax": "int8",  # the most probable agreement level; the lowest of equals
    "option_mass": "float64",  # probability of the five letters together before normalising; null in baselines
    "option_orders": "int8",  # orders of the options averaged over; 0 in baselines
    "order_spread": "float64",  # over these orders, the highest expected agreement minus the lowest; null with one
}
"""The columns every results table has, with their Arrow types. A table may have more."""


@dataclass(frozen=True, eq=False)
class RowItems:
    """What the rows say about each item scored.

    Attributes:
        ids: item ids, length I.
        traits: O, C, E, A or N.
        facets: facet names.
        keys: int8 [I], +1 or -1.
    """

    ids: tuple[str, ...]
    traits: tuple[str, ...]
    facets: tuple[str, ...]
    keys: NDArray[np.int8]

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.traits), len(self.facets), len(self.keys)}
        if len(lengths) != 1:
            raise InputError(f"items: expected ids, traits, facets and keys of one length, found {sorted(lengths)}")
        if not np.isin(self.keys, (-1, 1)).all():
            raise InputError(f"items: expected keys +1 or -1, found {np.unique(self.keys).tolist()}")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, inventory: Inventory) -> RowItems:
        """All items of an inventory, in its order."""
        return cls(
            ids=tuple(item.id for item in inventory.items),
            traits=tuple(item.trait for item in inventory.items),
            facets=tuple(item.facet for item in inventory.items),
            keys=inventory.keys.astype(np.int8),
        )

    def take(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> RowItems:
        """The items at `indices`."""
        return RowItems(
            ids=tuple(self.ids[i] for i in indices),
            traits=tuple(self.traits[i] for i in indices),
            facets=tuple(self.facets[i] for i in indices),
            keys=np.asarray([self.keys[i] for i in indices], dtype=np.int8),
        )


def build_rows(
    *,
    persona: str,
    condition: str,
    alpha: float,
    items: RowItems,
    agreements: ArrayLike,
    level_logprobs: ArrayLike,
    setting: str = "",
    draw: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> Columns:
    """Rows of one persona under one condition and alpha, from what the model says.

    Args:
        persona: the persona's id.
        condition: its name.
        alpha: strength of the intervention; 0 where there is none.
        items: the items scored.
        agreements: the person's answers [I], 1..5, NaN where missing.
        level_logprobs: [I, 5], or [O, I, 5] with O orders of the options: log-probability, over the whole vocabulary,
            of the letter that stands for agreement level 1, 2, .. 5. Orders are averaged as probabilities, after
            normalising each over its five letters.
        setting: how alpha was given; "" where nothing is steered.
        draw: which of several random directions.
        extra: more columns, each one value or I values.

    Raises:
        InputError: shapes that do not fit, or a log-probability that is NaN, infinite or above 0.
    """
    # NumPy sums in memory order: rows must be the same whether the values were just computed or read back
    raw = np.ascontiguousarray(level_logprobs, dtype=np.float64)
    raw = raw[None] if raw.ndim == 2 else raw
    if raw.ndim != 3 or raw.shape[1:] != (len(items), 5):
        raise InputError(
            f"persona '{persona}': expected log-probabilities [orders, {len(items)}, 5], found {list(raw.shape)}"
        )
    if not np.isfinite(raw).all() or raw.max(initial=0.0) > 1e-3:
        raise InputError(
            f"persona '{persona}', condition '{condition}', alpha {alpha:g}: "
            f"expected finite log-probabilities of at most 0, found {raw.min():g} to {raw.max():g}",
            hint="the model's logits overflowed: try --dtype float32 or a smaller alpha",
        )
    mass = np.logaddexp.reduce(raw, axis=2)  # [O, I]
    of_order = raw - mass[:, :, None]
    logprobs = np.logaddexp.reduce(of_order, axis=0) - np.log(len(raw))
    columns = _frame(persona, condition, items, agreements, setting=setting, alpha=alpha, draw=draw)
    columns |= {name: logprobs[:, n] for n, name in enumerate(LOGPROBS)}
    columns["expected"] = np.exp(logprobs) @ LEVELS
    columns["argmax"] = LEVELS[logprobs.argmax(axis=1)].astype(np.int8)
    columns["option_mass"] = np.exp(mass).mean(axis=0)
    columns["option_orders"] = np.full(len(items), len(raw), dtype=np.int8)
    several = len(raw) > 1
    columns["order_spread"] = np.ptp(np.exp(of_order) @ LEVELS, axis=0) if several else np.full(len(items), np.nan)
    return _with_extra(columns, extra, len(items))


def prediction_rows(
    *,
    persona: str,
    condition: str,
    items: RowItems,
    agreements: ArrayLike,
    predictions: ArrayLike,
    extra: Mapping[str, Any] | None = None,
) -> Columns:
    """Rows of one persona from predictions [I] that no model made: argmax is the prediction, rounded half to even."""
    expected = np.asarray(predictions, dtype=np.float64)
    if expected.shape != (len(items),) or not np.isfinite(expected).all():
        raise InputError(f"persona '{persona}': expected {len(items)} predictions, found shape {list(expected.shape)}")
    nothing = np.full(len(items), np.nan)
    columns = _frame(persona, condition, items, agreements)
    columns |= dict.fromkeys(LOGPROBS, nothing)
    columns["expected"] = expected
    columns["argmax"] = np.clip(np.round(expected), 1, 5).astype(np.int8)
    columns["option_mass"] = nothing
    columns["option_orders"] = np.zeros(len(items), dtype=np.int8)
    columns["order_spread"] = nothing
    return _with_extra(columns, extra, len(items))


def concat_rows(parts: Iterable[Columns]) -> Columns:
    """The tables one below the other; all must have the same columns."""
    tables = list(parts)
    if not tables:
        raise InputError("rows: expected at least one table, found none")
    for table in tables[1:]:
        if table.keys() != tables[0].keys():
            raise InputError(f"rows: expected columns {list(tables[0])}, found {list(table)}")
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def to_table(rows: Columns) -> Any:
    """A pyarrow.Table with the types of SCHEMA, NaN as null, columns beyond SCHEMA kept."""
    missing = [name for name in SCHEMA if name not in rows]
    if missing:
        raise InputError(f"rows: expected the columns of the results format, found none called {', '.join(missing)}")
    return to_arrow(rows)


def to_arrow(columns: Columns) -> Any:
    """A pyarrow.Table of any columns, NaN as null; columns of SCHEMA have its types."""
    import pyarrow as pa

    arrays = {}
    for name, values in columns.items():
        kind = pa.type_for_alias(SCHEMA[name]) if name in SCHEMA else None
        plain = values.tolist() if values.dtype.kind in "OU" else values
        arrays[name] = pa.array(plain, type=kind, from_pandas=True)
    return pa.table(arrays)


def from_table(table: Any) -> Columns:
    """The columns of a pyarrow.Table that `to_table` made; a null number becomes NaN."""
    return {name: np.asarray(table.column(name).to_numpy(zero_copy_only=False)) for name in table.column_names}


def _frame(
    persona: str,
    condition: str,
    items: RowItems,
    agreements: ArrayLike,
    *,
    setting: str = "",
    alpha: float = 0.0,
    draw: int = 0,
) -> Columns:
    """The columns that say which row it is, and what the person answered."""
    answers = np.asarray(agreements, dtype=np.float64)
    if answers.shape != (len(items),):
        raise InputError(f"persona '{persona}': expected {len(items)} agreements, found shape {list(answers.shape)}")
    count = len(items)
    return {
        "persona": np.full(count, persona, dtype=object),
        "condition": np.full(count, condition, dtype=object),
        "setting": np.full(count, setting, dtype=object),
        "alpha": np.full(count, alpha, dtype=np.float64),
        "draw": np.full(count, draw, dtype=np.int8),
        "item": np.array(items.ids, dtype=object),
        "trait": np.array(items.traits, dtype=object),
        "facet": np.array(items.facets, dtype=object),
        "key": np.asarray(items.keys, dtype=np.int8),
        "agreement": answers,
    }


def _with_extra(columns: Columns, extra: Mapping[str, Any] | None, count: int) -> Columns:
    for name, value in (extra or {}).items():
        if name in columns:
            raise InputError(f"extra column '{name}': expected a new name, found one of the results format")
        columns[name] = np.broadcast_to(np.asarray(value), (count,)).copy()
    return columns
