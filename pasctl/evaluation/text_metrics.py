"""Texts under several conditions as a table, and what it says per target and strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.evaluation.alphas import alpha_text
from pasctl.evaluation.auc import Auc, paired_auc
from pasctl.evaluation.defaults import BUDGET_KL
from pasctl.evaluation.intervals import FEWEST_ITEMS, mean_interval
from pasctl.evaluation.text_verdict import text_verdict

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

AS_IS, UP, DOWN, PROMPTED = CONDITIONS = ("as-is", "steered-up", "steered-down", "prompted")
"""The model left alone, steered to the target and away from it, and told to be it."""

SCORES = {"log_odds": "auc", "embedding_score": "embedding_auc", "judge": "judge_auc"}
"""Column of a text's score -> name of its AUC in the metrics."""

COLUMNS = (
    *("target", "condition", "alpha", "prompt", "text", "tokens", "finish"),
    *("log_odds", "p_plus", "embedding_score", "judge", "perplexity", "repetition"),
)
"""Of the table of texts; measures are NaN where a text has none."""


def text_title(target: str, condition: str, alpha: float) -> str:
    """What a text is called beside others: "as it is", "E+ at alpha 2", "E+ at alpha -2", "prompted: E+"."""
    if condition == AS_IS:
        return "as it is"
    if condition == PROMPTED:
        return f"prompted: {target}"
    return f"{target} at alpha {alpha_text(alpha if condition == UP else -alpha)}"


def text_metrics(frame: pd.DataFrame, opposites: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per target and strength: what tells the texts apart, and what steering costs.

    auc, embedding_auc and judge_auc are of the texts steered up against those steered down; with `_up` of those steered
    up, and with `_prompted` of the prompted ones, both against those of the model as it is.

    Args:
        frame: columns `COLUMNS`, one row per text.
        opposites: target -> what texts steered away from it are called.
    """
    rows = []
    for target, of_target in frame.groupby("target", sort=False):
        unsteered = {name: _by_prompt(of_target, name, 0.0) for name in (AS_IS, PROMPTED)}
        alphas = of_target.loc[of_target["condition"] == UP, "alpha"].drop_duplicates()
        for alpha in alphas:
            texts = unsteered | {UP: _by_prompt(of_target, UP, alpha), DOWN: _by_prompt(of_target, DOWN, alpha)}
            rows.append({"target": target, "opposite": opposites[str(target)], "alpha": float(alpha)} | _row(texts))
            rows[-1]["verdict"] = verdict_of(rows[-1], described=bool(of_target["log_odds"].notna().any()))
    return rows


def verdict_of(row: Mapping[str, Any], *, described: bool) -> str:
    """The line of finding about a row of `text_metrics`, of a target that is described or not."""
    costs = [row["perplexity_ratio"][name] for name in (UP, DOWN)]
    known = [cost[0] for cost in costs if cost is not None]
    return text_verdict(
        _auc(row["auc"]),
        row["target"],
        row["opposite"],
        embeddings=_auc(row["embedding_auc"]),
        perplexity_ratio=float(np.exp(np.mean(np.log(known)))) if known else None,
        described=described,
    )


def calibration_notes(calibrations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings of classifiers that do not separate the prompted texts they are fitted on, and so say nothing."""
    notes = []
    for target, facts in calibrations.items():
        auc = _auc(facts.get("auc"))
        if auc is not None and not (auc.differs and auc.auc > 0.5):
            notes.append(
                f"warning: log-odds do not separate texts prompted with {target} from those of its opposite, "
                f"AUC {auc}: what they say of steered texts means little"
            )
    return notes


def budget_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Warnings of strengths that change neutral text by more than the budget."""
    notes = []
    for row in rows:
        most = max((row.get("kl") or {AS_IS: 0.0}).values())
        if most > BUDGET_KL:
            notes.append(
                f"warning: {row['target']} at alpha {alpha_text(row['alpha'])} changes neutral text by {most:.2f} "
                f"nats/token, more than the budget of {BUDGET_KL:g}: try a smaller --alpha, or auto"
            )
    return notes


def _row(texts: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    row: dict[str, Any] = {"prompts": len(texts[UP])}
    for score, name in SCORES.items():
        row[name] = _told_apart(texts, score, UP, DOWN)
        row[f"{name}_up"] = _told_apart(texts, score, UP, AS_IS)
        row[f"{name}_prompted"] = _told_apart(texts, score, PROMPTED, AS_IS)
    row["perplexity_ratio"] = {name: _ratio(texts[name], texts[AS_IS]) for name in (UP, DOWN, PROMPTED)}
    row["agreement"] = _agreement(texts)
    for measure in ("perplexity", "repetition", "tokens", "p_plus"):
        row[measure] = {name: _mean(of_condition[measure]) for name, of_condition in texts.items()}
    return row


def _by_prompt(frame: pd.DataFrame, condition: str, alpha: float) -> pd.DataFrame:
    return frame[(frame["condition"] == condition) & (frame["alpha"] == alpha)].set_index("prompt")


def _told_apart(texts: Mapping[str, pd.DataFrame], score: str, plus: str, minus: str) -> list[float | None] | None:
    """[auc, low, high, prompts] of one condition's scores against another's, on the prompts that both have."""
    one, other = (texts[name][score] for name in (plus, minus))
    both = one.index.intersection(other.index, sort=False)
    auc = paired_auc(one.loc[both], other.loc[both])
    return None if auc is None else list(auc)


def _ratio(steered: pd.DataFrame, unsteered: pd.DataFrame) -> list[float | None] | None:
    """[ratio, low, high] of perplexities, geometric mean over prompts, by Student's t on their logarithms."""
    both = steered.index.intersection(unsteered.index, sort=False)
    logs = np.log(steered.loc[both, "perplexity"].to_numpy() / unsteered.loc[both, "perplexity"].to_numpy())
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        return None
    interval = mean_interval(logs, fewest=FEWEST_ITEMS)
    bounds: Sequence[float | None] = (None, None) if interval is None else np.exp(interval[1:3]).tolist()
    return [float(np.exp(logs.mean())), *bounds]


def _agreement(texts: Mapping[str, pd.DataFrame]) -> float | None:
    """Share of the steered texts that the judge and the classifier put on one side; the judge's ties are left out."""
    both = [texts[name][["judge", "p_plus"]].dropna() for name in (UP, DOWN)]
    same = [bool((judge > 0.5) == (p > 0.5)) for each in both for judge, p in each.to_numpy() if judge != 0.5]
    return float(np.mean(same)) if same else None


def _mean(values: pd.Series[float]) -> float | None:
    known = values.to_numpy(dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None


def _auc(stored: Sequence[Any] | None) -> Auc | None:
    return None if stored is None else Auc(*stored)


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """The table as it is stored; what is missing is null."""
    import pyarrow as pa

    kinds = {"tokens": pa.int32()} | dict.fromkeys(("target", "condition", "prompt", "text", "finish"), pa.string())
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in COLUMNS])
    return pa.Table.from_pandas(frame[list(COLUMNS)], schema=schema, preserve_index=False)
