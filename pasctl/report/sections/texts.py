"""What the model says: texts before and after steering, then what tells them apart and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.evaluation.text_metrics import AS_IS, DOWN, PROMPTED, UP, text_title
from pasctl.report.blocks import Block, Cell, Content, Table, interval, number
from pasctl.report.sections.labels import Row

MOST_PROMPTS = 6
"""Prompts whose texts are shown for each persona and strength."""


def texts(rows: Sequence[Row], metrics: Mapping[str, Any]) -> Content:
    """The section of texts.

    Args:
        rows: one per text, with target, condition, alpha, prompt and text.
        metrics: rows, prompts, words and notes of the texts' `metrics.json`.
    """
    findings: Sequence[Row] = metrics["rows"]
    blocks: list[Block] = [_before_and_after(rows, finding) for finding in findings]
    blocks.append(_measures(findings, metrics))
    if any(finding["repetition"][AS_IS] is not None for finding in findings):
        blocks.append(_sizes(findings))
    lead = [f"{finding['verdict']}." for finding in findings] + [f"{_sentence(note)}." for note in metrics["notes"]]
    words = [(target, f"{pair[0]} / {pair[1]}") for target, pair in metrics["words"].items() if pair]
    return Content(tuple(lead), tuple(words), tuple(blocks))


def _before_and_after(rows: Sequence[Row], finding: Row) -> Table:
    """The texts of a few prompts side by side."""
    target, alpha = finding["target"], finding["alpha"]
    strengths = {AS_IS: 0.0, UP: alpha, DOWN: alpha, PROMPTED: 0.0}
    own: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["target"] == target and row["alpha"] == strengths[row["condition"]]:
            own.setdefault(row["prompt"], {})[row["condition"]] = row["text"]
    shown = [name for name in strengths if any(name in of_prompt for of_prompt in own.values())]
    cells = [
        (Cell(prompt), *(Cell(of_prompt.get(name) or "(nothing)") for name in shown))
        for prompt, of_prompt in list(own.items())[:MOST_PROMPTS]
    ]
    more = len(own) - len(cells)
    return Table(
        f"Before and after: {text_title(target, UP, alpha)}",
        ("prompt", *(text_title(target, name, alpha) for name in shown)),
        tuple(cells),
        left=1 + len(shown),
        caption=f"{more:,} more prompts are in texts.parquet." if more else "",
    )


def _measures(findings: Sequence[Row], metrics: Mapping[str, Any]) -> Table:
    """What tells the texts apart, and what steering costs."""
    embedded, judged = metrics["embeddings"], metrics["judge"]
    head = ["persona", "α", "AUC", *(["AUC, embeddings"] if embedded else []), *(["AUC, judge"] if judged else [])]
    body = []
    for row in findings:
        cells = [Cell(row["target"]), Cell(number(row["alpha"], 2)), _auc(row["auc"])]
        cells += [_auc(row["embedding_auc"])] if embedded else []
        cells += [_auc(row["judge_auc"])] if judged else []
        cells += [_auc(row["auc_prompted"]), *(_ratio(row["perplexity_ratio"][name]) for name in (UP, DOWN, PROMPTED))]
        cells.append(Cell(number(max(row["kl"].values()) if row["kl"] else None, 2)))
        body.append(tuple(cells))
    embeddings = f" Embeddings: {embedded}, which does not share the model." if embedded else ""
    judge = f" Judge: {judged}." if judged else ""
    return Table(
        "What tells the texts apart, and what it costs",
        (*head, "prompted", "perplexity up", "perplexity down", "perplexity prompted", "KL"),
        tuple(body),
        broken=True,
        caption=(
            f"AUC over {metrics['prompts']:,} prompts: how often a text steered to the persona scores higher than one "
            "steered away from it, by the unsteered model's log-odds, per token, of descriptions that nothing was "
            f"fitted on; small: 95% score interval, paired by prompt.{embeddings}{judge} prompted: prompted texts "
            "against the model's own, by log-odds. Perplexity: under the unsteered model, over that of its own texts; "
            "small: 95% interval over prompts. KL(unsteered ‖ steered) on neutral text in nats/token, the larger of up "
            "and down."
        ),
    )


def _sizes(findings: Sequence[Row]) -> Table:
    """Length and repetition."""
    conditions = (AS_IS, UP, DOWN, PROMPTED)
    rows = [
        (
            Cell(row["target"]),
            Cell(number(row["alpha"], 2)),
            *(Cell(number(row["tokens"][name], 1)) for name in conditions),
            *(Cell(number(row["repetition"][name])) for name in conditions),
        )
        for row in findings
    ]
    names = ("as it is", "up", "down", "prompted")
    return Table(
        "Length and repetition",
        ("persona", "α", *(f"tokens {name}" for name in names), *(f"repetition {name}" for name in names)),
        tuple(rows),
        broken=True,
        caption="Means over prompts. Repetition: share of a text's 4-grams that stood in it before.",
    )


def _auc(stored: Sequence[float | None] | None) -> Cell:
    if stored is None:
        return Cell(number(None))
    auc, low, high = stored[:3]
    known = low is not None and high is not None
    return Cell(number(auc, 2), interval([low, high]) if known else "", mark=bool(known and not low <= 0.5 <= high))  # type: ignore[operator, list-item]


def _ratio(stored: Sequence[float | None] | None) -> Cell:
    if stored is None:
        return Cell(number(None))
    ratio, low, high = stored
    return Cell(f"{number(ratio, 2)}×", "" if low is None or high is None else interval([low, high]))


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}"
