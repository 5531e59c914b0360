"""The log layout of the published PAS code, so that old analysis scripts keep working.

One JSON object: `mean` and `std` map each trait (A, C, E, N, O) to a list over personas, of the mean and the standard
deviation (ddof 0) of the model's keyed answers to that trait's items; `score` holds the means over personas of these
(`mean_A`, `std_A`, ...) and of the absolute errors' mean and standard deviation (`mean_A_abs`, `std_A_abs`, ...).

What differs from the published numbers, on purpose: errors are against agreements, not keyed scores (the published
code mixed the two); answers are the most probable letter, so none is unparsed; unanswered items have no error instead
of an answer of 0; alpha is the one asked for, not the best on the very items reported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, StoreError
from pasctl.evaluation.metrics import number
from pasctl.evaluation.scores import keyed, span

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows

LOG_TRAITS = ("A", "C", "E", "N", "O")

MODES = {"no-change": "NO_CHANGE", "few-shot": "few-shot", "personality-prompt": "personality_prompt", "pas": "PAS"}
"""What the published code calls our conditions."""


def log_name(condition: str, model: str) -> str:
    """The published file name, e.g. PAS_Qwen3-0.6B_OOD.json: mode, last part of the model's path, split."""
    return f"{MODES.get(condition, condition)}_{model.rstrip('/').split('/')[-1]}_OOD.json"


def published_log(rows: Rows, condition: str, setting: str) -> dict[str, Any]:
    """The log of one condition at one setting of alpha, as in `rows.SCHEMA`, by letters; None for what is not there.

    Raises:
        InputError: no rows of that condition and setting.
    """
    rows = rows[rows["reading"] != "statements"] if "reading" in rows else rows
    picked = rows[(rows["condition"] == condition) & (rows["setting"] == setting)]
    if picked.empty:
        found = sorted({f"{c} {s}".strip() for c, s in zip(rows["condition"], rows["setting"], strict=True)})
        raise InputError(f"log: expected rows of {f'{condition} {setting}'.strip()}, found {', '.join(found)}")
    odd = sorted(set(picked["trait"]) - set(LOG_TRAITS))
    if odd or "low" in picked:
        what = f"trait {odd[0]}" if odd else "another scale than 1 to 5"
        raise InputError(
            f"log: the published layout holds the traits {', '.join(LOG_TRAITS)} on a scale of 1 to 5, found {what}",
            hint="leave --export-log out: the results artifact has every answer",
        )
    answers = picked[["persona", "trait"]].assign(
        score=keyed(picked["argmax"], picked["key"], span(picked)), error=(picked["argmax"] - picked["agreement"]).abs()
    )
    groups = answers.groupby(["trait", "persona"], sort=False)
    tables = {
        label.format("{}", what): moments[column].unstack("persona").reindex(list(LOG_TRAITS))
        for what, column in (("", "score"), ("_abs", "error"))
        for label, moments in (("mean_{}{}", groups.mean()), ("std_{}{}", groups.std(ddof=0)))
    }
    return {
        "score": {
            label.format(trait): number(table.loc[trait].mean())
            for label, table in tables.items()
            for trait in LOG_TRAITS
        },
        "mean": {trait: [number(value) for value in tables["mean_{}"].loc[trait]] for trait in LOG_TRAITS},
        "std": {trait: [number(value) for value in tables["std_{}"].loc[trait]] for trait in LOG_TRAITS},
    }


def write_log(path: Path, log: dict[str, Any]) -> None:
    """Write the log as JSON, indented by four as the published files are."""
    text = json.dumps(log, ensure_ascii=False, indent=4, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"log {path}: cannot be written: {error.strerror}", hint="choose another --export-log"
        ) from error
