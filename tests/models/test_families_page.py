"""The table of docs/families.md is what the proofs say."""

from __future__ import annotations

from itertools import zip_longest

from tests.models.families_page import PAGE, page

ROUNDING = 1e-5  # what another machine may make of any error


def test_the_page_of_families_is_what_the_proofs_say() -> None:
    """Word for word, but for the digits of errors, which are of the machine that made the page."""
    written, made = (text.splitlines() for text in (PAGE.read_text(encoding="utf-8"), page()))
    for old, new in zip_longest(written, made, fillvalue=""):
        for before, now in zip_longest(old.split("|"), new.split("|"), fillvalue=""):
            limit = _number(before)
            if limit is None or _number(now) is None:
                assert now == before, f"{new}: make the page with python -m tests.models.families_page"
            else:
                assert float(now) <= max(10 * limit, ROUNDING), new


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
