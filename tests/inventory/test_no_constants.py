"""Traits and the number of options come from the inventory: few files of the package name those of the built-in one."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pasctl"
ALLOWED = {
    *("inventory/builtin.yaml", "inventory/usual.py", "inventory/papi.py"),  # the built-in inventory, its traits, PAPI
    "inventory/simulate.py",  # its simulated respondents
    "evaluation/export_log.py",  # the published layout
    "contrasts/descriptions.py",  # descriptions of its traits, and the contrast made of them
    "contrasts/spec.py",
    "inventory/wording.py",  # the number words two .. eleven
}
NAMED = re.compile(r"OCEAN|ABCDE|\bfive (?:traits|points|options|letters|labels)\b|\b[Nn]euroticism\b")
LISTED = re.compile(r"""(?:["'][OCEAN]["'],\s*){2}""")


def test_few_files_name_the_built_in_traits_or_count_to_five() -> None:
    naming = {
        str(path.relative_to(PACKAGE))
        for path in (*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.yaml"))
        if NAMED.search(text := path.read_text(encoding="utf-8")) or LISTED.search(text)
    }
    assert naming - ALLOWED == set()


def test_no_code_counts_with_the_scale_of_the_built_in_inventory() -> None:
    counting = re.compile(
        r"\b6(?:\.0)? - |\b3\.0 \+ 2\.0|1\.0, 5\.0\)|range\(1, 6\)|\(5, 4, 3, 2, 1\)|\(1, 2, 3, 4, 5\)"
    )
    folders = ("inventory", "evaluation", "stages", "contrasts", "report", "survey")
    found = {
        str(path.relative_to(PACKAGE))
        for folder in folders
        for path in (PACKAGE / folder).rglob("*.py")
        if counting.search(path.read_text(encoding="utf-8"))
    }
    assert found - ALLOWED == set()
