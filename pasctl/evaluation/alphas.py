"""Steering strengths as users give them: numbers, and the words that stand for a choice among several."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pasctl.errors import InputError

AUTO, ORACLE = "auto", "oracle"
WORDS = (AUTO, ORACLE)
"""auto: each persona's alpha is chosen on fit items that were held out; oracle: on the very items that are reported."""

Alphas = float | str | Sequence[float | str]


def parse_alphas(alpha: Alphas) -> tuple[float, ...]:
    """Read 4.0, "4", "0,1,2,4" or a sequence as finite numbers, each once, in the order given.

    Raises:
        InputError: something that is no finite number, or nothing at all.
    """
    return tuple(_number(entry) for entry in _once(alpha, "a number or a comma list such as 0,1,2,4"))


def parse_settings(alpha: Alphas, candidates: Sequence[float]) -> tuple[float | str, ...]:
    """Read alphas among which the words auto and oracle may stand; the oracle's candidates stand before it.

    Args:
        alpha: "auto", "0,4", "auto,oracle", 4.0 or a sequence.
        candidates: strengths that an oracle chooses from where no numbers are given.

    Raises:
        InputError: something else, nothing at all, or an oracle without 0 among its numbers.
    """
    given = _once(alpha, f"a number, a comma list such as 0,1,2,4, {AUTO} or {ORACLE}")
    words = [entry for entry in given if entry in WORDS]
    numbers: list[float | str] = [_number(entry) for entry in given if entry not in WORDS]
    if ORACLE in words:
        numbers = numbers or list(candidates)
        require_zero(numbers, "the oracle's alphas")
    return (*dict.fromkeys(numbers), *words)


def require_zero(alphas: Sequence[float | str], what: str) -> None:
    """Refuse strengths to choose from that do not allow to leave the model alone.

    Raises:
        InputError: 0 is not among them.
    """
    if 0.0 not in alphas:
        told = ",".join(map(alpha_text, alphas))
        raise InputError(f"{what} must have 0 among them, which leaves the model alone, found {told}", hint="add 0")


def alpha_text(alpha: float | str) -> str:
    """A strength as short as it can be written without becoming another: 4, 0.5, 1.0000001."""
    if isinstance(alpha, str):
        return alpha
    short = f"{alpha:g}"
    return short if float(short) == alpha else repr(alpha)


def _once(alpha: Alphas, wanted: str) -> list[float | str]:
    given = alpha.split(",") if isinstance(alpha, str) else [alpha] if isinstance(alpha, int | float) else list(alpha)
    entries = [entry.strip() if isinstance(entry, str) else entry for entry in given]
    if not entries:
        raise InputError(f"alpha is empty, expected {wanted}")
    # adding 0.0 makes -0.0 the same strength as 0.0
    return list(dict.fromkeys(entry if entry in WORDS else _number(entry) + 0.0 for entry in entries))


def _number(entry: float | str) -> float:
    try:
        value = float(entry)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"alpha {str(entry)!r} is no number, expected one or a comma list such as 0,1,2,4")
    return value
