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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError, StoreError
from pasctl.evaluation.metrics import keyed
from pasctl.evaluation.rows import Columns

LOG_TRAITS = ("A", "C", "E", "N", "O")

MODES = {"no-change": "NO_CHANGE", "few-shot": "few-shot", "personality-prompt": "personality_prompt", "pas": "PAS"}
"""What the published code calls our conditions."""


def log_name(condition: str, model: str) -> str:
    """The published file name, e.g. PAS_Qwen3-0.6B_OOD.json: mode, last part of the model's path, split."""
    return f"{MODES.get(condition, condition)}_{model.rstrip('/').split('/')[-1]}_OOD.json"


def published_log(rows: Columns, condition: str, setting: str) -> dict[str, Any]:
    """The log of one condition at one setting of alpha, as in `rows.SCHEMA`; a number that cannot be had is None.

    Raises:
        InputError: no rows of that condition and setting.
    """
    picked = (rows["condition"] == condition) & (rows["setting"] == setting)
    if not picked.any():
        found = sorted({f"{c} {s}".strip() for c, s in zip(rows["condition"], rows["setting"], strict=True)})
        raise InputError(f"log: expected rows of {f'{condition} {setting}'.strip()}, found {', '.join(found)}")
    trait, persona = rows["trait"][picked], rows["persona"][picked]
    answer = rows["argmax"][picked].astype(np.float64)
    score = keyed(answer, rows["key"][picked])
    error = np.abs(answer - rows["agreement"][picked])
    people = list(dict.fromkeys(persona.tolist()))
    log: dict[str, Any] = {"score": {}, "mean": {}, "std": {}}
    errors: dict[str, tuple[list[float | None], list[float | None]]] = {}
    for name in LOG_TRAITS:
        cells = [(persona == person) & (trait == name) for person in people]
        log["mean"][name], log["std"][name] = _moments([score[cell] for cell in cells])
        errors[name] = _moments([error[cell] for cell in cells])
    columns = {
        "mean_{}": log["mean"],
        "std_{}": log["std"],
        "mean_{}_abs": {name: mean for name, (mean, _) in errors.items()},
        "std_{}_abs": {name: std for name, (_, std) in errors.items()},
    }
    for label, per_trait in columns.items():
        log["score"] |= {label.format(name): _mean(per_trait[name]) for name in LOG_TRAITS}
    return log


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


def _moments(groups: list[NDArray[np.float64]]) -> tuple[list[float | None], list[float | None]]:
    """Mean and standard deviation (ddof 0) of each group without its NaN; None for an empty one."""
    present = [group[np.isfinite(group)] for group in groups]
    means = [float(group.mean()) if len(group) else None for group in present]
    stds = [float(group.std()) if len(group) else None for group in present]
    return means, stds


def _mean(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
