"""How near a model's answers come to a person's, per condition, over personas and items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.bootstrap import composite_interval
from pasctl.evaluation.rows import Columns, RowItems

TRAITS = ("O", "C", "E", "A", "N")

Floats = NDArray[np.float64]


def metrics_table(rows: Columns, group_by: Sequence[str] = ("condition", "alpha")) -> list[dict[str, Any]]:
    """One dict of metrics per group, in the order in which the groups first appear.

    Args:
        rows: in the format of `rows.SCHEMA`; more columns do no harm.
        group_by: columns whose values make a group. Within one, a persona answers an item once.

    Returns:
        dicts with the group's values, `personas` and `items` (how many), and what `condition_metrics` gives.
    """
    keys = list(zip(*(rows[name].tolist() for name in group_by), strict=True))
    members: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(keys):
        members.setdefault(key, []).append(row)
    table = []
    for key, picked in members.items():
        group = {name: values[picked] for name, values in rows.items()}
        items, dense = _pivot(group, f"rows of {dict(zip(group_by, key, strict=True))}")
        entry: dict[str, Any] = dict(zip(group_by, key, strict=True))
        entry |= {"personas": len(dense["expected"]), "items": len(items)}
        entry |= condition_metrics(
            dense["expected"], dense["argmax"], dense["agreement"], items, option_mass=dense["option_mass"]
        )
        table.append(entry)
    return table


def condition_metrics(
    expected: Floats, argmax: Floats, agreements: Floats, items: RowItems, option_mass: Floats | None = None
) -> dict[str, Any]:
    """All metrics of one condition, plain floats that JSON can hold; None where a number cannot be had.

    Args:
        expected: the model's expected agreement [P, I], NaN where not scored.
        argmax: the model's most probable agreement [P, I].
        agreements: the persons' agreements [P, I], NaN where missing.
        items: the I items.
        option_mass: probability of the five letters together [P, I].

    Returns:
        mae, mae_argmax: trait -> mean absolute error, see `trait_mae`.
        composite, composite_argmax: the sum over the five traits, None unless all five are there.
        composite_interval: 95% bootstrap interval over personas of composite, see `bootstrap.composite_interval`.
        traits: the traits that have an error.
        item_correlation: see `item_correlation`.
        acquiescence: of the model; acquiescence_person: of the persons, the number it should come near to.
        trait_score_error: trait -> see `trait_score_error`.
        option_mass: its mean.
    """
    mae = trait_mae(expected, agreements, items.traits)
    mae_argmax = trait_mae(argmax, agreements, items.traits)
    return {
        "mae": mae,
        "mae_argmax": mae_argmax,
        "composite": composite(mae),
        "composite_argmax": composite(mae_argmax),
        "composite_interval": composite_interval(persona_errors(expected, agreements, items.traits)),
        "traits": [trait for trait, value in mae.items() if value is not None],
        "item_correlation": item_correlation(expected, agreements),
        "acquiescence": acquiescence(expected, items),
        "acquiescence_person": acquiescence(agreements, items),
        "trait_score_error": trait_score_error(expected, agreements, items),
        "option_mass": None if option_mass is None else _mean(option_mass.ravel()),
    }


def trait_mae(predicted: Floats, agreements: Floats, traits: Sequence[str]) -> dict[str, float | None]:
    """Per trait, the mean over personas of the persona's mean absolute error on its answered items of the trait."""
    error = np.abs(predicted - agreements)
    return {trait: _mean(row_means(error[:, member])) for trait, member in _by_trait(traits)}


def persona_errors(predicted: Floats, agreements: Floats, traits: Sequence[str]) -> Floats:
    """Each persona's mean absolute error on each of the five traits [P, 5], NaN where it answered no such item."""
    error, of_item = np.abs(predicted - agreements), np.asarray(traits, dtype=object)
    return np.stack([row_means(error[:, of_item == trait]) for trait in TRAITS], axis=1)


def composite(mae: dict[str, float | None]) -> float | None:
    """The sum of the five traits' errors, as the paper reports it; None if a trait has none: four do not compare."""
    errors = [value for trait in TRAITS if (value := mae.get(trait)) is not None]
    return float(sum(errors)) if len(errors) == len(TRAITS) else None


def item_correlation(expected: Floats, agreements: Floats) -> float | None:
    """Pearson's r across a persona's answered items, mean over personas.

    Personas with fewer than three answered items, or a constant on either side, have no r and are left out.
    """
    values = []
    for predicted, answered in zip(expected, agreements, strict=True):
        both = np.isfinite(predicted) & np.isfinite(answered)
        a, b = predicted[both], answered[both]
        if len(a) >= 3 and a.std() > 1e-9 and b.std() > 1e-9:
            values.append(np.corrcoef(a, b)[0, 1])
    return _mean(np.array(values))


def acquiescence(agreements: Floats, items: RowItems) -> float | None:
    """Agreement whatever the item says: 3 is none, 5 is yes to everything.

    Per persona and facet, the mean of (mean agreement with + items) and (mean agreement with - items), in which the
    trait cancels; mean over facets, then over personas. A facet without answers on one of the keys is skipped.
    """
    facets = sorted(set(zip(items.traits, items.facets, strict=True)))
    of_facet = []
    for facet in facets:
        member = np.array([pair == facet for pair in zip(items.traits, items.facets, strict=True)])
        plus, minus = (row_means(agreements[:, member & (items.keys == key)]) for key in (1, -1))
        of_facet.append((plus + minus) / 2)
    return _mean(row_means(np.stack(of_facet, axis=1))) if of_facet else None


def trait_score_error(expected: Floats, agreements: Floats, items: RowItems) -> dict[str, float | None]:
    """Per trait, |the model's mean keyed score - the person's| over the answered items, mean over personas."""
    answered = np.isfinite(expected) & np.isfinite(agreements)
    difference = np.where(answered, keyed(expected, items.keys) - keyed(agreements, items.keys), np.nan)
    return {trait: _mean(np.abs(row_means(difference[:, member]))) for trait, member in _by_trait(items.traits)}


def keyed(agreements: Floats, keys: NDArray[np.int8]) -> Floats:
    """Keyed scores from agreements [..., I], and back: reversed on items keyed -1."""
    scores: Floats = np.where(keys > 0, agreements, 6.0 - agreements)
    return scores


def row_means(values: Floats) -> Floats:
    """The mean of each row [P, N] -> [P] without its NaN; NaN where a row has nothing else."""
    present = np.isfinite(values)
    count = present.sum(axis=1)
    total = np.where(present, values, 0.0).sum(axis=1)
    means: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return means


def _mean(values: Floats) -> float | None:
    """The mean without NaN, or None."""
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else None


def _by_trait(traits: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(trait, bool [I]) in the order O C E A N, then any other trait."""
    of_item = np.asarray(traits, dtype=object)
    others = sorted(set(traits) - set(TRAITS))
    return [(trait, of_item == trait) for trait in (*TRAITS, *others)]


def _pivot(group: Columns, what: str) -> tuple[RowItems, dict[str, Floats]]:
    """Long rows -> the items and dense [P, I] matrices, NaN where there is no row."""
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
    dense = {}
    for name in ("expected", "argmax", "agreement", "option_mass"):
        dense[name] = np.full((len(persona_at), len(item_at)), np.nan)
        dense[name][where_persona, where_item] = group[name]
    return items, dense
