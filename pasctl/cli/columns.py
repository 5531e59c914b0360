"""Cells and columns of what is printed."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.printable import clean


def align(rows: Sequence[Sequence[str]], *, left: int = 99) -> str:
    """Rows as text in columns: the first `left` columns flush left, the others right; a cell stays on its line."""
    rows = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def named(condition: str, setting: str) -> str:
    """A condition with its strength."""
    return f"{condition} {setting}".strip()


def number(value: float | None) -> str:
    """A figure with three decimals, "-" without one."""
    return "-" if value is None else f"{value:.3f}"


def interval(bounds: Sequence[float] | None) -> str:
    """The two ends of an interval, "-" without one."""
    return "-" if bounds is None else f"{bounds[0]:.2f}..{bounds[1]:.2f}"
