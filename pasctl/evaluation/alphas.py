"""Steering strengths as users give them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pasctl.errors import InputError


def parse_alphas(alpha: float | str | Sequence[float]) -> tuple[float, ...]:
    """Read 4.0, "4", "0,1,2,4" or a sequence as finite numbers, each once, in the order given.

    Raises:
        InputError: something that is no finite number, or nothing at all.
    """
    given = alpha.split(",") if isinstance(alpha, str) else [alpha] if isinstance(alpha, int | float) else list(alpha)
    values: list[float] = []
    for entry in given:
        try:
            value = float(entry)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"alpha {str(entry).strip()!r} is no number, expected one or a comma list such as 0,1,2,4")
        # adding 0.0 makes -0.0 the same strength as 0.0
        values.append(value + 0.0)
    if not values:
        raise InputError("alpha is empty, expected a number or a comma list such as 0,1,2,4")
    return tuple(dict.fromkeys(values))
