"""How near a model's answers come to a person's, per condition, over personas and items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.alphas import alpha_text
from pasctl.evaluation.intervals import interval
from pasctl.evaluation.personal import NAMES, are_poles, personal_metrics, statement_sizes
from pasctl.evaluation.scores import keyed, range_share, span
from pasctl.inventory.usual import in_order

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.evaluation.rows import Rows

GROUP = ("reading", "condition", "setting")
"""The columns whose values make a row of a table of metrics."""
_DRAW, _TRAIT, _PERSONA = ["group", "draw"], ["group", "draw", "trait"], ["group", "draw", "persona"]

Floats = NDArray[np.float64]


def metrics_table(
    rows: Rows, group_by: Sequence[str] = GROUP, traits: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """One dict of metrics per group, in the order in which the groups first appear; plain values that JSON can hold.

    A metric is the mean over the draws, where random directions are drawn, of the metric in each; None where it cannot
    be had in one of them.

    Args:
        rows: in the format of `rows.SCHEMA`; more columns do no harm.
        group_by: columns whose values make a group. Within one, a persona answers an item once in each draw.
        traits: in which order they are named; None for that of `in_order`.

    Returns:
        dicts with the group's values, and
        personas, items, draws: how many. alpha: the strength, None where personas differ; alphas: strength -> how many
        personas, empty where nothing is steered.
        mae, mae_argmax: trait -> the mean over personas of the persona's mean absolute error on its answered items of
        the trait, of the expected and of the most probable agreement. traits: those that have an error.
        composite, composite_argmax: see `composite`. draw_composites: of each draw. composite_interval: see
        `intervals.mean_interval`. item_correlation: mean over personas of r across a persona's answered items.
        acquiescence: see there, of the model; acquiescence_person: of the persons, the number to come near to.
        trait_score_error: trait -> |the model's mean keyed score - the person's| over the answered items, mean over
        personas.
        rank_correlation: trait -> see `rank_correlations`; rank_correlation_mean: over the traits that have one.
        cronbach_alpha: trait -> see there, of the model; cronbach_alpha_person: of the persons, to compare.
        option_mass: probability of the options together; order_spread: the highest expected agreement that an order of
        the options brings minus the lowest; range_share: see there. dlp_size: root mean square of dlp over personas and
        items; dlp_spread: mean of it, over self-report prompts.
        distinctive_r, wrong_person_r, own_place and what belongs to them: see `personal.personal_metrics`.

    Raises:
        InputError: a persona has two rows for an item within a group and a draw.
    """
    numbered = number_groups(rows, group_by)
    scores, of_persona = trait_scores(numbered), persona_correlations_of(numbered)
    of_trait = _trait_metrics(numbered, scores)
    draws = _draw_metrics(numbered, of_trait, of_persona)
    by_trait, whole, names = over_draws(of_trait, "trait"), over_draws(draws), traits or in_order(rows["trait"])
    nobody = dict.fromkeys(numbered["group"], dict.fromkeys(NAMES))
    personal = nobody if are_poles(rows) else personal_metrics(numbered)
    errors, correlated = persona_errors(scores), over_draws(of_persona.to_frame("r"), "persona")
    return [
        {name: group[name].iloc[0] for name in group_by}
        | _strengths(group)
        | {f"{name}s": group[name].nunique() for name in ("persona", "item", "draw")}
        | _by_trait(by_trait.loc[[place]].droplevel("group"), names)
        | {str(name): number(value) for name, value in whole.loc[place].items()}
        | {
            "composite_interval": interval(errors.loc[place], least=0.0),
            "draw_composites": [number(value) for value in draws.loc[place]["composite"].sort_index()],
            "item_correlation_interval": interval(correlated.loc[place], least=-1.0, most=1.0),
            "order_spread": number(group["order_spread"].mean()),
        }
        | statement_sizes(group)
        | range_share(group)
        | personal[place]
        for place, group in numbered.groupby("group", sort=False)
    ]


def number_groups(rows: Rows, group_by: Sequence[str] = GROUP) -> Rows:
    """The rows with a column `group`: the number of the group, in the order in which groups first appear.

    Personas, items and facets are numbered as well, since numbers are grouped faster than names.

    Raises:
        InputError: a persona has two rows for an item within a group and a draw.
    """
    names = [name for name in ("persona", "item", "facet") if name not in group_by]
    numbers = {name: rows.groupby(name, sort=False).ngroup() for name in names}
    numbered = rows.assign(group=rows.groupby(list(group_by), sort=False).ngroup(), **numbers)
    if numbered.duplicated([*_PERSONA, "item"]).any():
        raise InputError("rows: expected one row per persona and item, found several", hint="group by more columns")
    return numbered


def trait_scores(numbered: Rows) -> pd.DataFrame:
    """Each persona's errors and scores on each trait, indexed by group, draw, persona and trait.

    Columns: error and error_argmax, mean absolute errors over the answered items; model and person, mean keyed scores,
    the model's over all items and the person's over those answered; score_error, their difference over the answered.
    """
    model, person = (keyed(numbered[name], numbered["key"], span(numbered)) for name in ("expected", "agreement"))
    cells = numbered[[*_PERSONA, "trait"]].assign(
        error=(numbered["expected"] - numbered["agreement"]).abs(),
        error_argmax=(numbered["argmax"] - numbered["agreement"]).abs(),
        model=model,
        person=person,
        score_error=model - person,
    )
    return cells.groupby([*_PERSONA, "trait"], sort=False).mean()


def persona_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Each persona's error on each trait, in their usual order, mean over draws: indexed by group and persona."""
    errors = scores["error"].unstack("trait")
    return over_draws(errors[in_order(errors.columns)], "persona")


def persona_correlations_of(numbered: Rows) -> pd.Series[float]:
    """Pearson's r across each persona's answered items, indexed by group, draw and persona."""
    return correlations(numbered, _PERSONA, "expected", "agreement")


def composite(errors: pd.Series[float]) -> pd.Series[float]:
    """The sum of the traits' mean errors, as the paper reports it; NaN if a trait has none: fewer do not compare.

    Args:
        errors: indexed by group, draw and trait.
    """
    of_trait = errors.unstack("trait")
    return of_trait[in_order(of_trait.columns)].sum(axis=1, skipna=False)


def correlations(frame: pd.DataFrame, keys: Sequence[str], a: str, b: str) -> pd.Series[float]:
    """Pearson's r of two columns within each group, over the rows that have both.

    NaN for groups of fewer than three such rows, or with a constant on either side.
    """
    values = frame.assign(a=frame[a].where(frame[b].notna()), b=frame[b].where(frame[a].notna()))
    groups = values.groupby(list(keys), sort=False)
    x, y = (values[name] - groups[name].transform("mean") for name in ("a", "b"))
    products = values.assign(xx=x * x, yy=y * y, xy=x * y).groupby(list(keys), sort=False)[["xx", "yy", "xy"]].sum()
    count = groups["a"].count()
    spread = products[["xx", "yy"]].min(axis=1) / count
    r: pd.Series[float] = products["xy"] / np.sqrt(products["xx"] * products["yy"])
    return r.clip(-1, 1).where((count >= 3) & (spread > 1e-18))


def rank_correlations(scores: pd.DataFrame) -> pd.Series[float]:
    """Per trait, whether the model puts the personas in the persons' order: Spearman's rho of their trait scores.

    rho is Pearson's r of the ranks, equal scores sharing the mean of their ranks (C. Spearman, "The proof and
    measurement of association between two things", American Journal of Psychology 15, 1904). Scores that differ by
    rounding errors alone are equal. NaN with fewer than three personas that have both scores, or where either side
    gives everybody the same score.
    """
    both = scores[["model", "person"]].dropna().round(9)
    return correlations(both.groupby(_TRAIT, sort=False).rank(), _TRAIT, "model", "person")


def acquiescence(numbered: Rows, column: str) -> pd.Series[float]:
    """Agreement whatever the item says, per group and draw: the middle is none, the highest is yes to everything.

    Per persona and facet, the mean of (mean agreement with + items) and (mean agreement with - items), in which the
    trait cancels; mean over facets, then over personas. A facet without answers on one of the keys is skipped.
    """
    cells = numbered.groupby([*_PERSONA, "trait", "facet", "key"], sort=False)[column].mean()
    of_facet = cells.unstack("key").reindex(columns=[1, -1]).mean(axis=1, skipna=False)
    return of_facet.groupby(_PERSONA, sort=False).mean().groupby(_DRAW, sort=False).mean()


def cronbach_alpha(numbered: Rows, column: str) -> pd.Series[float]:
    """Per group, draw and trait, how far its keyed items go together over personas: Cronbach's alpha.

    For the k items of the trait, with variances (ddof 1) over personas,

        alpha = k / (k - 1) (1 - sum_i var(item_i) / var(sum_i item_i))

    (L. J. Cronbach, "Coefficient alpha and the internal structure of tests", Psychometrika 16, 1951). It is 1 where all
    items tell the same, near 0 where they tell nothing of each other, below 0 where they contradict. Personas with a
    missing answer to the trait are left out. NaN with fewer than two items or two personas, or where all personas have
    the same sum.
    """
    cells = numbered[[*_TRAIT, "persona", "item"]].assign(
        score=keyed(numbered[column], numbered["key"], span(numbered))
    )
    lacking = cells.assign(lacking=cells["score"].isna()).groupby([*_TRAIT, "persona"], sort=False)["lacking"]
    complete = cells[~lacking.transform("any")]
    items = complete.groupby([*_TRAIT, "item"], sort=False)["score"].var().groupby(_TRAIT, sort=False)
    total = complete.groupby([*_TRAIT, "persona"], sort=False)["score"].sum().groupby(_TRAIT, sort=False).var()
    k = items.size()
    return (k / (k - 1) * (1 - items.sum() / total)).where((k > 1) & (total > 1e-12))


def over_draws(values: pd.DataFrame, *within: str) -> pd.DataFrame:
    """Means over the draws of each group, and of what else it is indexed by; NaN where one of the draws has none."""
    groups = values.groupby(["group", *within], sort=False)
    means = groups.mean()
    return means.where(groups.count().eq(groups.size(), axis=0))


def _trait_metrics(numbered: Rows, scores: pd.DataFrame) -> pd.DataFrame:
    """The metrics that each trait has, indexed by group, draw and trait."""
    columns = scores[["error", "error_argmax"]].set_axis(["mae", "mae_argmax"], axis=1)
    means = columns.assign(trait_score_error=scores["score_error"].abs()).groupby(_TRAIT, sort=False).mean()
    return means.assign(
        rank_correlation=rank_correlations(scores),
        cronbach_alpha=cronbach_alpha(numbered, "expected"),
        cronbach_alpha_person=cronbach_alpha(numbered, "agreement"),
    )


def _draw_metrics(numbered: Rows, traits: pd.DataFrame, of_persona: pd.Series[float]) -> pd.DataFrame:
    """The metrics of all traits together, indexed by group and draw."""
    import pandas as pd

    return pd.DataFrame(
        {
            "composite": composite(traits["mae"]),
            "composite_argmax": composite(traits["mae_argmax"]),
            "item_correlation": of_persona.groupby(_DRAW, sort=False).mean(),
            "rank_correlation_mean": traits["rank_correlation"].groupby(_DRAW, sort=False).mean(),
            "acquiescence": acquiescence(numbered, "expected"),
            "acquiescence_person": acquiescence(numbered, "agreement"),
            "option_mass": numbered.groupby(_DRAW, sort=False)["option_mass"].mean(),
        }
    )


def _by_trait(metrics: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Metric -> trait -> its value, and the traits that have an error."""
    table = {
        str(name): {str(trait): number(value) for trait, value in values.items()}
        for name, values in metrics.reindex(list(names)).items()
    }
    return {**table, "traits": [trait for trait, value in table["mae"].items() if value is not None]}


def _strengths(group: Rows) -> dict[str, Any]:
    """The strength that all personas have in common, and how many have each, from the lowest up."""
    alphas = group.groupby("persona", sort=False)["alpha"].last()
    steered = bool((group["setting"] != "").all())
    values, counts = np.unique(alphas, return_counts=True)
    return {
        "alpha": float(values[0]) if len(values) == 1 else None,
        "alphas": {alpha_text(float(a)): int(n) for a, n in zip(values, counts, strict=True)} if steered else {},
    }


def number(value: Any) -> float | None:
    """A number of a frame as JSON has it."""
    return float(value) if np.isfinite(value) else None


def item_correlation(expected: Floats, agreements: Floats) -> float | None:
    """Mean over personas of `persona_correlations`; personas that have none are left out."""
    values = persona_correlations(expected, agreements)
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else None


def persona_correlations(expected: Floats, agreements: Floats) -> Floats:
    """Pearson's r across each persona's answered items [P], from matrices [P, I].

    NaN for personas with fewer than three answered items, or a constant on either side.
    """
    values = np.full(len(expected), np.nan)
    for row, (predicted, answered) in enumerate(zip(expected, agreements, strict=True)):
        both = np.isfinite(predicted) & np.isfinite(answered)
        a, b = predicted[both], answered[both]
        if len(a) >= 3 and a.std() > 1e-9 and b.std() > 1e-9:
            values[row] = np.corrcoef(a, b)[0, 1]
    return values
