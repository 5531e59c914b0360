"""The figure of an artifact that stands in a list: short, of a few kinds, and from its small files alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SOURCES = {"results": "metrics.json", "strengths": "curves.json"}
"""Kind -> the file that its figure is read from; other kinds have none."""


def headline(kind: str, read: Callable[[str], Any]) -> str:
    """The figure; "" of kinds that have none, and of files that do not have it.

    Args:
        kind: of the artifact.
        read: gives the content of one of its JSON files.
    """
    if kind not in SOURCES:
        return ""
    try:
        return {"results": _results, "strengths": _strengths}[kind](read(SOURCES[kind]))
    except (KeyError, TypeError, ValueError, StopIteration):  # of another version, or not what its name says
        return ""


def _results(metrics: Mapping[str, Any]) -> str:
    """Of the steered condition, read as the results are read first."""
    row = next(row for row in metrics["conditions"] if row["condition"] == "pas")
    parts = [f"distinctive r {row['distinctive_r']:.2f}"] if row.get("distinctive_r") is not None else []
    parts += [f"composite {row['composite']:.2f}"] if row.get("composite") is not None else []
    return ", ".join([*parts, f"n {row['personas']}"])


def _strengths(curves: Mapping[str, Any]) -> str:
    chosen = curves["chosen"]
    return f"alpha {float(chosen['population'] if isinstance(chosen, Mapping) else chosen):.3g}"
