"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def short(value: float, digits: int = 2) -> str:
    """A number with no zero before its point, .64 or -.03, and no sign where it rounds to zero."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("0.", ".", 1) if text.removeprefix("-").startswith("0.") else text


def bracketed(value: float, ends: Sequence[float] | None) -> str:
    """A number with its 95% interval: .11 [.06, .16]."""
    return short(value) if ends is None else f"{short(value)} [{short(ends[0])}, {short(ends[1])}]"


def listed(words: Sequence[str]) -> str:
    """One, two and three."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
