"""The table of docs/families.md is what the proofs say."""

from __future__ import annotations

from tests.models.families_page import PAGE, page


def test_the_page_of_families_is_what_the_proofs_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make it with: python -m tests.models.families_page"
