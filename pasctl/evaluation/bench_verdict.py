"""What a persona costs on tasks, in a sentence per persona and strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.evaluation.intervals import SIGNIFICANT


def bench_finding(found: Mapping[str, Any]) -> str:
    """A line per persona and strength: on how many figures it is worse than the unchanged model, and by how much.

    A figure counts as worse or better where p, corrected by Holm over all figures of all tasks, is below 0.05.

    Args:
        found: rows and against_random, as `bench-tasks` stores them.
    """
    settings: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        if row["condition"] == "persona":
            settings.setdefault((row["persona"], row["alpha"]), []).append(row)
    return "\n".join(
        _sentence(rows, [row for row in found["against_random"] if (row["persona"], row["alpha"]) == setting])
        + _prompted([row for row in found["rows"] if (row["condition"], row["persona"]) == ("prompted", setting[0])])
        for setting, rows in settings.items()
    )


def _prompted(rows: Sequence[Mapping[str, Any]]) -> str:
    judged = [row for row in rows if row["p_holm"] is not None]
    worse = sum(row["p_holm"] < SIGNIFICANT and _is_worse(row) for row in judged)
    return f"; prompted with it: worse on {worse} of {len(judged)}" if judged else ""


def worse_figures(found: Mapping[str, Any]) -> tuple[int, int]:
    """On how many figures of all personas and strengths one is worse than the unchanged model, and how many there are.

    Those that have no interval do not count.
    """
    judged = [row for row in found["rows"] if row["condition"] == "persona" and row["p_holm"] is not None]
    return sum(row["p_holm"] < SIGNIFICANT and _is_worse(row) for row in judged), len(judged)


def _sentence(rows: Sequence[Mapping[str, Any]], against: Sequence[Mapping[str, Any]]) -> str:
    title = rows[0]["title"]
    judged = [row for row in rows if row["p_holm"] is not None]
    if not judged:
        return f"{title}: no interval can be had, there are too few documents"
    clear = [row for row in judged if row["p_holm"] < SIGNIFICANT]
    worse = [row for row in clear if _is_worse(row)]
    better = [row for row in clear if row["higher_is_better"] is not None and not _is_worse(row)]
    of = f"of {len(judged)} figure{'s' if len(judged) > 1 else ''}"
    shown = worse or [max(judged, key=lambda row: abs(row["difference"]) / (row["high"] - row["low"] or 1))]
    most = max(shown, key=lambda row: abs(row["difference"]) / (row["high"] - row["low"] or 1))
    what = f"{most['task']} {most['metric']} {most['difference']:+.3f} [{most['low']:+.3f}, {most['high']:+.3f}]"
    if not clear:
        return f"{title}: none {of} differs clearly from no change; most: {what}"
    told = f"{title}: worse than no change on {len(worse)} {of}, better on {len(better)}; most: {what}"
    beyond = [row for row in against if row["p_holm"] is not None and row["p_holm"] < SIGNIFICANT and _is_worse(row)]
    return f"{told}; worse than random directions of its norm on {len(beyond)}" if against else told


def _is_worse(row: Mapping[str, Any]) -> bool:
    return row["higher_is_better"] is not None and (row["difference"] < 0) == row["higher_is_better"]
