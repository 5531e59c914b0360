"""What steering does besides moving answers: to the model's text, and to answers that it writes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pasctl.report.blocks import Block, Cell, Drawn, Table, interval, number
from pasctl.report.sections.curves import alpha_chart, by_condition, draw, pair, series
from pasctl.report.sections.labels import Row, name_cells

KL = "KL from the unsteered model, nats/token"


def side_effects(found: Mapping[str, Any]) -> list[Block]:
    """A table, and KL against strength if a condition was run at several strengths."""
    blocks: list[Block] = [_table(found)]
    points = {
        condition: [(alpha, row["kl"][0], row["kl"][1:]) for alpha, row in rows if row["kl"][0] is not None]
        for condition, rows in by_condition(found["rows"]).items()
    }
    drawn = series(points)
    if drawn:
        figure = Drawn(
            "kl",
            "How far the model's text is moved, against strength",
            "KL(unsteered ‖ steered) on neutral text, mean over personas; bands: 95% intervals over personas. 0 is the "
            "model as it was. What steering moves here has nothing to do with the questionnaire.",
            partial(draw, alpha_chart(drawn, KL)),
        )
        blocks.append(figure)
    return blocks


def audit(found: Sequence[Row]) -> Table:
    """How often answers that were written out could not be read, or were not the most probable letter."""
    rows = []
    for row in found:
        total = row["answers"]
        shares = [
            Cell(f"{row[name]:,}", f"{row[name] / total:.0%}" if total else "") for name in ("unparsed", "mismatched")
        ]
        rows.append((*name_cells(row), Cell(f"{total:,}"), *shares, Cell(number(row["mae_worst"], 2))))
    return Table(
        "Answers that the model wrote out",
        ("condition", "α", "answers", "unparsed", "mismatched", "MAE, worst case"),
        tuple(rows),
        left=2,
        caption=(
            "All other figures read the letters' probabilities; here the model wrote its answer. unparsed: no letter "
            "could be read from it. mismatched: a letter could, and it was not the most probable one. Worst case: mean "
            "absolute error with an unparsed answer counted as the worst possible."
        ),
    )


def _table(found: Mapping[str, Any]) -> Table:
    plain = found.get("unsteered") or {}
    rows: list[tuple[Cell, ...]] = [
        (
            Cell("unsteered"),
            Cell(""),
            Cell(""),
            Cell(number(0.0)),
            Cell(number(plain.get("perplexity"), 2)),
            Cell(number(plain.get("repetition"))),
        )
    ]
    for row in found["rows"]:
        measured = (_mean(row["kl"], 3), _mean(row["perplexity"], 2), _mean(row["repetition"], 3))
        rows.append((*name_cells(row), Cell(f"{row['personas']:,}"), *measured))
    text = "the built-in neutral text" if found["text"] == "builtin" else "a neutral text that was given"
    return Table(
        "Side effects on text that is not about personality",
        ("condition", "α", "personas", "KL", "perplexity", "repetition"),
        tuple(rows),
        left=2,
        caption=(
            f"On {found['tokens']:,} tokens of {text}; small: 95% interval over personas. KL(unsteered ‖ steered) in "
            "nats/token; perplexity of that text; repetition: share of 4-grams that repeat an earlier one in text "
            "that the model writes freely."
        ),
    )


def _mean(found: Sequence[float | None] | None, digits: int) -> Cell:
    if found is None:
        return Cell(number(None))
    bounds = pair(found[1:])
    return Cell(number(found[0], digits), interval(list(bounds), digits) if bounds else "")
