"""Whether what a model answers is the person's: a table of the personal metrics."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.report.blocks import Cell, Table, interval, number
from pasctl.report.sections.labels import Row, name_cells


def personal_table(conditions: Sequence[Row]) -> Table | None:
    """The personal metrics of the rows that have any; None where none has."""
    rows = [
        (
            *name_cells(row),
            Cell(f"{row['personas']:,}"),
            Cell(number(row["distinctive_r"]), interval(row["distinctive_r_interval"])),
            Cell(number(row["wrong_person_r"]), interval(row["wrong_person_r_interval"])),
            Cell(number(row["own_place"], 1), interval(row["own_place_interval"])),
            Cell(number(row["own_place_chance"], 1)),
            Cell(f"{row['own_top10']:.0%}", f"by chance {row['own_top10_chance']:.0%}"),
        )
        for row in conditions
        if row.get("distinctive_r") is not None
    ]
    if not rows:
        return None
    return Table(
        "Is it this person?",
        ("condition", "α", "persons", "distinctive r", "another person's r", "own place", "by chance", "top 10%"),
        tuple(rows),
        left=2,
        caption=(
            "Distinctive r: correlation over items of what the model says with what the person said, both less the "
            "item's mean over persons: what all have in common counts for nothing. Another person's r: the same "
            "with what the model says as each of the others. Own place: of the person's own answers among everybody's, "
            "by that correlation; 1 is the best. Top 10%: persons whose place is in the first tenth. Small: 95% "
            "interval, Student's t over persons."
        ),
    )
