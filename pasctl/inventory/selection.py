"""Which of some personas: `0-20`, `7`, `case=172481,172482`; see `pasctl.inventory.spec` for the words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import IntArray

_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})")
_ROW = re.compile(r"\d{1,18}")

# ("range", start, stop) with the end not included, or ("case", name)
Part = tuple[Literal["range"], int, int] | tuple[Literal["case"], str]


def split_selection(rest: str) -> tuple[str, list[Part]]:
    """`DIR:SELECT`, `DIR`, `SELECT` or nothing -> (DIR, parts). DIR may contain colons."""
    place, _, last = rest.rpartition(":")
    parts = parse_selection(last)
    return (rest, []) if parts is None else (place, parts)


def parse_selection(text: str) -> list[Part] | None:
    """The parts of a selection, or None when the text is none."""
    parts: list[Part] = []
    for alternative in text.split("|"):
        in_case = False
        for word in alternative.split(","):
            found = _RANGE.fullmatch(word)
            if found:
                parts.append(("range", int(found[1]), int(found[2])))
            elif word.startswith("case=") and len(word) > len("case="):
                in_case = True
                parts.append(("case", word.removeprefix("case=")))
            elif in_case and word:
                parts.append(("case", word))
            elif _ROW.fullmatch(word):
                parts.append(("range", int(word), int(word) + 1))
            else:
                return None
    return parts


def selected_rows(parts: Sequence[Part], spec: str, count: int, ids: Callable[[], Iterable[str]]) -> IntArray:
    """The rows selected, each once, in the order of the selection; all when there are no parts.

    Args:
        parts: of a selection.
        spec: as it was typed, for messages.
        count: how many personas there are.
        ids: gives their names in order; it is called only where a name is asked for.

    Raises:
        InputError: a range that does not lie within, or a name that is not there.
    """
    if not parts:
        return np.arange(count)
    named = {part[1] for part in parts if part[0] == "case"}
    place = {name: row for row, name in enumerate(ids()) if name in named} if named else {}
    free, found = np.ones(count, dtype=np.bool_), []
    for part in parts:
        if part[0] == "case" and part[1] not in place:
            names = list(ids())
            near = difflib.get_close_matches(part[1], names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"names are like {names[0]}"
            raise InputError(f"personas {spec!r}: no case {part[1]} among {count}", hint=hint)
        start, stop = (place[part[1]], place[part[1]] + 1) if part[0] == "case" else part[1:]
        if not start < stop <= count:
            raise InputError(
                f"personas {spec!r}: {start}-{stop} does not lie within the {count} available",
                hint=f"0-{count} is all of them; the end is not included",
            )
        found.append(start + np.flatnonzero(free[start:stop]))
        free[start:stop] = False
    return np.concatenate(found).astype(np.int64)
