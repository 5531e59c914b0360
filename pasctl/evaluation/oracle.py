"""What the best alpha on the very items reported would have looked like: an upper bound, never a result."""

from __future__ import annotations

import numpy as np

from pasctl.evaluation.alphas import ORACLE, WORDS
from pasctl.evaluation.groups import split_groups
from pasctl.evaluation.metrics import Floats, row_means
from pasctl.evaluation.rows import Columns, concat_rows


def oracle_rows(rows: Columns) -> Columns:
    """Rows of the setting "oracle": for each steered condition, persona and draw, those of the alpha of lowest error.

    The error is the mean absolute one over the report items, as the published code chooses; of equals the alpha
    nearest to 0. Its gain is partly luck, the more so the more alphas there are. The controls have an oracle as well:
    what it gains there is luck alone.

    Args:
        rows: in the format of `rows.SCHEMA`, with at least one alpha that was given as a number.
    """
    groups = split_groups(rows)
    by_condition: dict[str, list[str]] = {}
    for condition, setting in groups:
        if setting and setting not in WORDS:
            by_condition.setdefault(condition, []).append(setting)
    kept = []
    for condition, settings in by_condition.items():
        settings.sort(key=lambda setting: (abs(float(setting)), -float(setting)))
        first = groups[condition, settings[0]]
        errors = np.stack([_errors(groups[condition, setting].expected, first.agreements) for setting in settings])
        for draw, persona in np.ndindex(errors.shape[1:]):
            best = settings[int(np.argmin(errors[:, draw, persona]))]
            kept.append(
                (rows["condition"] == condition)
                & (rows["setting"] == best)
                & (rows["draw"] == draw)
                & (rows["persona"] == first.personas[persona])
            )
    chosen = concat_rows([{name: values[mask] for name, values in rows.items()} for mask in kept])
    return chosen | {"setting": np.full(len(chosen["setting"]), ORACLE, dtype=object)}


def _errors(expected: Floats, agreements: Floats) -> Floats:
    """Mean absolute error of each draw and persona [D, P] of expected agreements [D, P, I]."""
    found: Floats = np.stack([row_means(np.abs(of_draw - agreements)) for of_draw in expected])
    return np.where(np.isfinite(found), found, 0.0)
