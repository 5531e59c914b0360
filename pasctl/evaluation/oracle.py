"""What the best alpha on the very items reported would have looked like: an upper bound, never a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pasctl.evaluation.alphas import ORACLE, WORDS

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows


def oracle_rows(rows: Rows) -> Rows:
    """Rows of the setting "oracle": for each steered condition, persona and draw, those of the alpha of lowest error.

    The error is the mean absolute one over the report items, as the published code chooses; of equals the alpha
    nearest to 0. Its gain is partly luck, the more so the more alphas there are. The controls have an oracle as well:
    what it gains there is luck alone.

    Args:
        rows: in the format of `rows.SCHEMA`, with at least one alpha that was given as a number.
    """
    run = ["condition", "draw", "persona"]
    numbers = rows[(rows["setting"] != "") & ~rows["setting"].isin(WORDS)]
    errors = numbers.assign(error=(numbers["expected"] - numbers["agreement"]).abs())
    means = errors.groupby([*run, "setting"], sort=False)["error"].mean().fillna(0.0).reset_index()
    strength = means["setting"].astype(float)
    ranked = means.assign(distance=strength.abs(), sign=-strength).sort_values(["error", "distance", "sign"])
    best = ranked.drop_duplicates(run)[[*run, "setting"]]
    chosen = numbers.merge(best, on=[*run, "setting"])
    # condition by condition and draw by draw, where runs stand persona by persona
    order = np.lexsort((chosen["draw"], pd.factorize(chosen["condition"])[0]))
    return chosen.iloc[order].assign(setting=ORACLE)
