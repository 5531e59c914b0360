"""The figures of an artifact that stand in a list: short, of a few kinds, and from its small files alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SOURCES = {"results": "metrics.json", "strengths": "curves.json", "benchmarks": "rows.json"}
"""Kind -> the file that its figure is read from; other kinds have none."""
_FORMS = {"distinctive_r": ".2f", "composite": ".2f", "n": ".0f", "alpha": ".3g"}
"""Names of figures, in order, and how they are written."""


def figures(kind: str, read: Callable[[str], Any]) -> dict[str, float]:
    """Name -> value of the figures; none of kinds that have none, and of files that do not have them.

    Args:
        kind: of the artifact.
        read: gives the content of one of its JSON files.
    """
    if kind not in SOURCES:
        return {}
    try:
        return {"results": _results, "strengths": _strengths, "benchmarks": _benchmarks}[kind](read(SOURCES[kind]))
    except (KeyError, TypeError, ValueError, StopIteration):  # of another version, or not what its name says
        return {}


def headline(kind: str, read: Callable[[str], Any]) -> str:
    """The figures as one short text, "" where there are none; the arguments are those of `figures`."""
    found = figures(kind, read)
    if "judged" in found:
        return f"worse on {found['worse']:.0f} of {found['judged']:.0f}"
    return ", ".join(f"{name.replace('_', ' ')} {found[name]:{form}}" for name, form in _FORMS.items() if name in found)


def _results(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Of the steered condition, read as the results are read first."""
    row = next(row for row in metrics["conditions"] if row["condition"] == "pas")
    named = {"distinctive_r": row.get("distinctive_r"), "composite": row.get("composite"), "n": row["personas"]}
    return {name: float(value) for name, value in named.items() if value is not None}


def _strengths(curves: Mapping[str, Any]) -> dict[str, float]:
    chosen = curves["chosen"]
    return {"alpha": float(chosen["population"] if isinstance(chosen, Mapping) else chosen)}


def _benchmarks(found: Mapping[str, Any]) -> dict[str, float]:
    from pasctl.evaluation.bench_verdict import worse_figures

    worse, judged = worse_figures(found)
    return {"worse": float(worse), "judged": float(judged)} if judged else {}
