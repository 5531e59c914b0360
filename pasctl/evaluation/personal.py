"""Whether an answer is this person's: what is left when all that persons have in common is taken away.

The mean profile of other persons goes together with anybody's answers (item r .58 in PAPI), so a model that knows
nothing of a person can have a high item r. Here each side is less the item's mean over the persons of the condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.intervals import FEWEST, mean_interval
from pasctl.evaluation.scores import row_means

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows

Floats = NDArray[np.float64]

MOST = 1000
"""Persons who are compared with each other, evenly apart where there are more: it takes their number squared."""
FEWEST_ITEMS = 3
"""Answered items that a correlation needs."""
_TINY = 1e-9
NAMES = (
    *("distinctive_r", "distinctive_r_interval", "wrong_person_r", "wrong_person_r_interval"),
    *("own_place", "own_place_interval", "own_place_chance", "own_top10", "own_top10_chance"),
)
"""What `personal_metrics` gives."""


class Likeness(NamedTuple):
    """What each of P persons has, NaN where it cannot be had.

    Attributes:
        own: r over items of the model's distinctive score with the person's distinctive answers [P].
        wrong: the same of the person's answers with the score of every other person, mean over these [P].
        place: of the own person's answers among everybody's, by r with the model's score: 1 is the best [P]. Of equals
            the mean place.
        others: persons that the place is among, the own one included [P].
    """

    own: Floats
    wrong: Floats
    place: Floats
    others: Floats


def likeness(model: Floats, person: Floats) -> Likeness:
    """Compare everybody's scores with everybody's answers.

    Another person's score that is set against someone's answers is less the mean over all but this someone. With the
    own score left in the mean, the others' would lean away from the own answers, by own / (P - 1).

    Args:
        model: what the model says to I items as each of P persons [P, I]; on any scale, each item on its own.
        person: the persons' answers [P, I], NaN where missing.
    """
    count = len(model)
    scores = model - _means(model)
    known = np.isfinite(person) & (np.isfinite(person).sum(axis=0) > 1)  # an answer alone is its item's mean
    answers = np.where(known, person - _means(np.where(known, person, np.nan)), 0.0)
    mask = known.astype(np.float64)
    sums, squares = answers.sum(axis=1), (answers**2).sum(axis=1)
    items = mask.sum(axis=1)
    # [q, p]: q's score on the items that p answered
    totals, products = scores @ mask.T, scores @ answers.T
    powers, shared = scores**2 @ mask.T, scores @ (scores * mask).T
    r = _correlation(items, totals, powers, products, sums, squares)
    weight = 1 / max(1, count - 1)
    own = np.diag
    apart = _correlation(
        items,
        totals + weight * own(totals),
        powers + 2 * weight * shared + weight**2 * own(powers),
        products + weight * own(products),
        sums,
        squares,
    )
    np.fill_diagonal(apart, np.nan)
    mine = np.diag(r)[:, None]
    places = np.where(np.isfinite(r), (r > mine + _TINY) + (np.abs(r - mine) <= _TINY) / 2, 0.0).sum(axis=1) + 0.5
    known_r = np.isfinite(mine[:, 0])
    return Likeness(
        np.diag(r).copy(),
        np.where(known_r, row_means(apart.T), np.nan),
        np.where(known_r, places, np.nan),
        np.where(known_r, np.isfinite(r).sum(axis=1), np.nan),
    )


def poles_of(rows: Rows) -> list[str]:
    """The personas that are trait poles: a trait's code with + or -."""
    traits = set(rows["trait"].unique())
    return [name for name in rows["persona"].unique() if name[-1:] in ("+", "-") and name[:-1] in traits]


def are_poles(rows: Rows) -> bool:
    """Whether all personas are trait poles, which nobody is: the answers of E+ and E- are each other's opposite."""
    return len(poles_of(rows)) == rows["persona"].nunique()


def personal_metrics(numbered: Rows) -> dict[Any, dict[str, Any]]:
    """The personal metrics of each group, see `NAMES`; None where a group has fewer persons than an interval needs.

    distinctive_r: mean over persons of `Likeness.own`; wrong_person_r: of `Likeness.wrong`; own_place: of
    `Likeness.place`; own_place_chance: what a guess comes to; own_top10: share of the persons whose place is within the
    first tenth; own_top10_chance: what a guess comes to. Intervals are [low, high], Student's t over persons. Of
    several draws a person has the mean.

    Args:
        numbered: rows as from `metrics.number_groups`. Of the reading "statements" the model's score is dlp, of others
            the expected agreement.
    """
    return {group: _of_group(rows) for group, rows in numbered.groupby("group", sort=False)}


def model_score(rows: Rows) -> Any:
    """What the model's distinctive score is made of: dlp where statements were read, else the expected agreement."""
    if "dlp" not in rows or "reading" not in rows:
        return rows["expected"]
    return rows["dlp"].where(rows["reading"] == "statements", rows["expected"])


def statement_sizes(group: Rows) -> dict[str, float | None]:
    """How far statements' log-probabilities are moved in a group, and how much self-report prompts differ in it."""
    if "dlp" not in group:
        return {}
    values = {"dlp_size": np.sqrt(np.square(group["dlp"]).mean()), "dlp_spread": group["dlp_spread"].mean()}
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}


def _of_group(rows: Rows) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(NAMES)
    if rows["persona"].nunique() < FEWEST:
        return nothing
    cells = rows[["draw", "persona", "item", "agreement"]].assign(score=model_score(rows))
    draws = []
    for _, draw in cells.groupby("draw", sort=False):
        table = draw.set_index(["persona", "item"])[["score", "agreement"]].unstack("item")
        if len(table) > MOST:
            table = table.iloc[np.linspace(0, len(table) - 1, MOST).round().astype(np.int64)]
        draws.append(likeness(table["score"].to_numpy(np.float64), table["agreement"].to_numpy(np.float64)))
    own, wrong, place, among = (np.mean(values, axis=0) for values in zip(*draws, strict=True))
    if np.isfinite(own).sum() < FEWEST:
        return nothing
    top = np.mean([_top(draw) for draw in draws], axis=0)
    values: dict[str, Any] = {
        "own_place_chance": float(np.nanmean(among + 1) / 2),
        "own_top10": float(np.nanmean(top)),
        "own_top10_chance": float(np.nanmean(np.ceil(among / 10) / among)),
    }
    for name, found, least, most in (
        ("distinctive_r", own, -1.0, 1.0),
        ("wrong_person_r", wrong, -1.0, 1.0),
        ("own_place", place, 1.0, float(np.nanmax(among))),
    ):
        bounds = mean_interval(found, least=least, most=most)
        values |= {name: bounds and bounds.mean, f"{name}_interval": bounds and [bounds.low, bounds.high]}
    return {name: values[name] for name in NAMES}


def _top(found: Likeness) -> Floats:
    """Whether each own person is in the first tenth, 1 or 0."""
    inside: Floats = np.where(np.isfinite(found.place), found.place <= np.ceil(found.others / 10), np.nan)
    return inside


def _correlation(
    items: Floats, totals: Floats, powers: Floats, products: Floats, sums: Floats, squares: Floats
) -> Floats:
    """Pearson's r [q, p] from sums over the items that p answered; NaN for fewer than three, or a constant."""
    count = np.maximum(items, 1)
    spread, other = powers - totals**2 / count, squares - sums**2 / count
    enough = (items >= FEWEST_ITEMS) & (np.minimum(spread, other) / count > _TINY**2)
    scale = np.sqrt(np.where(enough, spread * other, 1.0))
    r: Floats = np.where(enough, np.clip((products - totals * sums / count) / scale, -1, 1), np.nan)
    return r


def _means(values: Floats) -> Floats:
    """Mean of each column without its NaN; NaN of an empty one."""
    return row_means(values.T)
