"""What a user or a request calls a persona by: taken apart, and compared with those that there are."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from pasctl.stages.steering import CASE


def split_name(persona: str) -> tuple[str, bool, str]:
    """Reference, whether a persona is named after it, and the persona; a key begins with `s1:`."""
    start = len("s1:") if persona.startswith("s1:") else 0
    ref, colon, named = persona[start:].partition(":")
    return persona[:start] + ref, bool(colon), named.removeprefix(CASE)


def near_names(name: str, names: Sequence[str]) -> str | None:
    """A hint at names that are like a wrong one."""
    near = get_close_matches(name, names, 3)
    return f"did you mean {' or '.join(near)}?" if near else None
