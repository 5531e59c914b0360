"""Whether what a model answers is the person's, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.cli.columns import align, interval, named, number


def personal_table(conditions: Sequence[Mapping[str, Any]]) -> str:
    """Whether answers are this person's: what is left of them without what all persons have in common."""
    from pasctl.report.sections.labels import setting

    known = [row for row in conditions if row.get("distinctive_r") is not None]
    body = [
        [
            named(row["condition"], setting(row)),
            str(row["personas"]),
            number(row["distinctive_r"]),
            interval(row["distinctive_r_interval"]),
            number(row["wrong_person_r"]),
            interval(row["wrong_person_r_interval"]),
            f"{row['own_place']:.1f} ({row['own_place_chance']:.1f})",
            interval(row["own_place_interval"]),
            f"{row['own_top10']:.0%}",
        ]
        for row in known
    ]
    header = ["this person's?", "n", "dist. r", "95%", "other's r", "95%", "place (chance)", "95%", "top 10%"]
    told = (
        "dist. r: distinctive item r, both sides less the item's mean over persons; other's r: the same with what the\n"
        "model says as every other person. place: of the own answers among all n persons', 1 is the best, beside what\n"
        "chance gives. top 10%: persons whose place is in the first tenth."
    )
    return f"{align([header, *body], left=1)}\n\n{told}"
