"""The psychometrics of a model's panels, as a table."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from pasctl.cli.columns import align, named

if TYPE_CHECKING:
    from pasctl.evaluation.psychometrics.summary import PanelSummary
    from pasctl.evaluation.rows import Rows


def psychometrics_table(rows: Rows) -> str:
    """People and panels of respondents below each other; "" where there are too few respondents."""
    from pasctl.evaluation.psychometrics.summary import panel_summaries

    summaries = panel_summaries(rows, graded=False)
    if not summaries:
        return ""
    several = len({summary.reading for summary in summaries if summary.reading}) > 1
    body = [_cells(summary, several=several) for summary in summaries]
    header = ["psychometrics", "n", "omega", "alpha", "phi (chance)", "W1"]
    legend = (
        "omega, alpha: reliability. phi: factors like the people's. W1: distance of item distributions, share of the\n"
        "range. Means over the traits that have it. `pasctl report` has each trait, theta, and the items that differ."
    )
    return f"{align([header, *body], left=1)}\n\n{legend}"


def _cells(summary: PanelSummary, *, several: bool) -> list[str]:
    name = named(summary.condition, summary.setting)
    phi, share = summary.mean("phi"), summary.mean("share")
    return [
        f"{name}, {summary.reading}" if several and summary.reading else name,
        str(summary.personas),
        _number(summary.mean("omega")),
        _number(summary.mean("alpha")),
        "-" if isnan(phi) else f"{phi:.2f} ({summary.chance:.2f})",
        "-" if isnan(share) else f"{share:.0%}",
    ]


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.2f}"
