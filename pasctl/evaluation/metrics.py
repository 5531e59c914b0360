"""How near a model's answers come to a person's, per condition, over personas and items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.alphas import alpha_text
from pasctl.evaluation.bootstrap import interval
from pasctl.evaluation.groups import Group, split_groups
from pasctl.evaluation.rows import Columns, RowItems

TRAITS = ("O", "C", "E", "A", "N")

Floats = NDArray[np.float64]


def metrics_table(rows: Columns, group_by: Sequence[str] = ("condition", "setting")) -> list[dict[str, Any]]:
    """One dict of metrics per group, in the order in which the groups first appear.

    Args:
        rows: in the format of `rows.SCHEMA`; more columns do no harm.
        group_by: columns whose values make a group. Within one, a persona answers an item once in each draw.

    Returns:
        dicts with the group's values, `alpha` (None where personas differ), `alphas` (strength -> how many personas;
        empty where nothing is steered), `personas` and `items` (how many), and what `group_metrics` gives.
    """
    return [
        {"alpha": _one(group.alphas), "alphas": _tally(group.alphas) if group.steered else {}}
        | dict(zip(group_by, key, strict=True))
        | {"personas": len(group.personas), "items": len(group.items)}
        | group_metrics(group)
        for key, group in split_groups(rows, group_by).items()
    ]


def group_metrics(group: Group) -> dict[str, Any]:
    """What `condition_metrics` gives, as means over the draws, with intervals of each persona's mean over them.

    Beside these: `draws`, how many; `draw_composites`, the composite of each; `order_spread`, the mean over personas
    and items of the highest expected agreement that an order of the options brings minus the lowest.
    """
    by_draw = [
        condition_metrics(expected, argmax, group.agreements, group.items, option_mass=mass)
        for expected, argmax, mass in zip(group.expected, group.argmax, group.option_mass, strict=True)
    ]
    found = by_draw[0] if len(by_draw) == 1 else _averaged(by_draw)
    return found | {
        "composite_interval": interval(group_errors(group)),
        "item_correlation_interval": interval(group_correlations(group)[:, None]),
        "draws": len(by_draw),
        "draw_composites": [each["composite"] for each in by_draw],
        "order_spread": _mean(group.order_spread.ravel()),
    }


def group_errors(group: Group) -> Floats:
    """`persona_errors` [P, 5], mean over the draws."""
    found: Floats = np.mean(
        [persona_errors(expected, group.agreements, group.items.traits) for expected in group.expected], axis=0
    )
    return found


def group_correlations(group: Group) -> Floats:
    """`persona_correlations` [P], mean over the draws; NaN where one of them has none."""
    found: Floats = np.mean([persona_correlations(expected, group.agreements) for expected in group.expected], axis=0)
    return found


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
        traits: the traits that have an error.
        item_correlation: see `item_correlation`.
        acquiescence: of the model; acquiescence_person: of the persons, the number it should come near to.
        trait_score_error: trait -> see `trait_score_error`.
        rank_correlation: trait -> see `rank_correlation`; rank_correlation_mean: over the traits that have one.
        cronbach_alpha: trait -> see `cronbach_alpha`, of the model; cronbach_alpha_person: of the persons, to compare.
        option_mass: its mean.
    """
    mae = trait_mae(expected, agreements, items.traits)
    mae_argmax = trait_mae(argmax, agreements, items.traits)
    ranks = rank_correlation(expected, agreements, items)
    return {
        "mae": mae,
        "mae_argmax": mae_argmax,
        "composite": composite(mae),
        "composite_argmax": composite(mae_argmax),
        "traits": [trait for trait, value in mae.items() if value is not None],
        "item_correlation": item_correlation(expected, agreements),
        "acquiescence": acquiescence(expected, items),
        "acquiescence_person": acquiescence(agreements, items),
        "trait_score_error": trait_score_error(expected, agreements, items),
        "rank_correlation": ranks,
        "rank_correlation_mean": _mean(np.array([value for value in ranks.values() if value is not None])),
        "cronbach_alpha": cronbach_alpha(expected, items),
        "cronbach_alpha_person": cronbach_alpha(agreements, items),
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
    """Mean over personas of `persona_correlations`; personas that have none are left out."""
    return _mean(persona_correlations(expected, agreements))


def persona_correlations(expected: Floats, agreements: Floats) -> Floats:
    """Pearson's r across each persona's answered items [P].

    NaN for personas with fewer than three answered items, or a constant on either side.
    """
    values = np.full(len(expected), np.nan)
    for row, (predicted, answered) in enumerate(zip(expected, agreements, strict=True)):
        both = np.isfinite(predicted) & np.isfinite(answered)
        a, b = predicted[both], answered[both]
        if len(a) >= 3 and a.std() > 1e-9 and b.std() > 1e-9:
            values[row] = np.corrcoef(a, b)[0, 1]
    return values


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


def rank_correlation(expected: Floats, agreements: Floats, items: RowItems) -> dict[str, float | None]:
    """Per trait, whether the model puts the personas in the persons' order: Spearman's rho of their trait scores.

    rho is Pearson's r of the ranks, equal scores sharing the mean of their ranks (C. Spearman, "The proof and
    measurement of association between two things", American Journal of Psychology 15, 1904). A trait score is the
    mean keyed score: the model's over all items of the trait, the person's over those answered. None with fewer than
    three personas that have both scores, or where either side gives everybody the same score.
    """
    model, person = keyed(expected, items.keys), keyed(agreements, items.keys)
    return {
        trait: _spearman(row_means(model[:, member]), row_means(person[:, member]))
        for trait, member in _by_trait(items.traits)
    }


def cronbach_alpha(agreements: Floats, items: RowItems) -> dict[str, float | None]:
    """Per trait, how far its keyed items go together over personas: Cronbach's alpha.

    For the k items of the trait, with variances (ddof 1) over personas,

        alpha = k / (k - 1) (1 - sum_i var(item_i) / var(sum_i item_i))

    (L. J. Cronbach, "Coefficient alpha and the internal structure of tests", Psychometrika 16, 1951). It is 1 where all
    items tell the same, near 0 where they tell nothing of each other, below 0 where they contradict. Personas with a
    missing answer to the trait are left out. None with fewer than two items or two personas, or where all personas
    have the same sum.
    """
    scores = keyed(agreements, items.keys)
    return {trait: _alpha(scores[:, member]) for trait, member in _by_trait(items.traits)}


def keyed(agreements: Floats, keys: NDArray[np.integer[Any]]) -> Floats:
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


def _averaged(documents: Sequence[Any]) -> Any:
    """Equal documents with their numbers averaged; None where one of them has no number."""
    first = documents[0]
    if isinstance(first, dict):
        return {name: _averaged([each[name] for each in documents]) for name in first}
    if any(each is None for each in documents):
        return None
    return float(np.mean(documents)) if isinstance(first, float) else first


def _one(alphas: Floats) -> float | None:
    """The strength of all personas, or None if they differ."""
    return float(alphas[0]) if np.ptp(alphas) == 0 else None


def _tally(alphas: Floats) -> dict[str, int]:
    """How many personas have each strength, from the lowest up."""
    values, counts = np.unique(alphas, return_counts=True)
    return {alpha_text(float(value)): int(count) for value, count in zip(values, counts, strict=True)}


def _spearman(model: Floats, person: Floats) -> float | None:
    """Spearman's rho of two columns of scores [P], NaN left out pairwise."""
    both = np.isfinite(model) & np.isfinite(person)
    if both.sum() < 3:
        return None
    a, b = (_ranks(scores[both]) for scores in (model, person))
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else None


def _ranks(scores: Floats) -> Floats:
    """Ranks 1..P, equal scores sharing their mean rank; scores that differ by rounding errors alone are equal."""
    _, place, times = np.unique(np.round(scores, 9), return_inverse=True, return_counts=True)
    ranks: Floats = (times.cumsum() - (times - 1) / 2)[place]
    return ranks


def _alpha(scores: Floats) -> float | None:
    """Cronbach's alpha of one scale [P, k], over the rows without NaN."""
    complete = scores[np.isfinite(scores).all(axis=1)]
    people, k = complete.shape
    if people < 2 or k < 2:
        return None
    total = complete.sum(axis=1).var(ddof=1)
    return float(k / (k - 1) * (1 - complete.var(axis=0, ddof=1).sum() / total)) if total > 1e-12 else None


def _by_trait(traits: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(trait, bool [I]) in the order O C E A N, then any other trait."""
    of_item = np.asarray(traits, dtype=object)
    others = sorted(set(traits) - set(TRAITS))
    return [(trait, of_item == trait) for trait in (*TRAITS, *others)]
