"""Two texts side by side come out the same however they come in, and fit."""

from __future__ import annotations

import io
import random
from itertools import zip_longest

import pytest
from rich.cells import cell_len

from pasctl.chat.columns import Columns, column_width, wrapped

TEXTS = (
    "The quick brown fox  jumps over the lazy dog.\n\nAnd then it sat down, an unreasonably-long-word-without-spaces!",
    "生きることは学ぶこと。 Die Brücke 🙂 am Fluß. " * 3,
    "",
)


@pytest.mark.parametrize("width", [7, 20, 33])
@pytest.mark.parametrize("text", TEXTS)
def test_lines_fit_lose_nothing_and_only_the_last_one_changes(text: str, width: int) -> None:
    lines = list(wrapped(text, width))
    assert max(map(cell_len, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())
    for end in range(len(text)):
        shorter = list(wrapped(text[:end], width))
        assert shorter[:-1] == lines[: len(shorter) - 1]


@pytest.mark.parametrize("seed", range(5))
def test_what_stands_there_at_the_end_does_not_depend_on_the_pieces(seed: int) -> None:
    rng, out, width = random.Random(seed), io.StringIO(), 30
    columns, left = Columns(out, width), list(TEXTS[:2])
    while any(left):
        side = rng.randrange(2)
        cut = rng.randint(1, 9)
        if left[side]:
            columns.add(side, left[side][:cut])
            left[side] = left[side][cut:]
    columns.finish()
    # of each line the terminal shows what was written behind the last return
    shown = [line.split("\r")[-1] for line in out.getvalue().split("\n")[:-1]]
    pairs = zip_longest(*(wrapped(text, width) for text in TEXTS[:2]), fillvalue="")
    expected = [(one, other) for one, other in pairs]
    assert [tuple(part.rstrip() for part in line.split("│", 1)) for line in shown] == [
        (one, f"  {other}".rstrip()) for one, other in expected
    ]
    assert max(cell_len(part) for line in out.getvalue().split("\n") for part in line.split("\r")) < 2 * width + 6


@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_number_of_texts_stand_side_by_side(count: int) -> None:
    out, width = io.StringIO(), 12
    columns = Columns(out, width, count)
    for place in range(40):
        for side in range(count):
            columns.add(side, f"{'abcd'[side] * (side + 1)}{' ' if place % 3 else ', '}")
    columns.finish()
    shown = [line.split("\r")[-1].split("│") for line in out.getvalue().split("\n")[:-1]]
    for side in range(count):
        read = "".join("".join(row[side].split()) for row in shown if len(row) > side)
        assert read == "".join(f"{'abcd'[side] * (side + 1)}{'' if place % 3 else ','}" for place in range(40))
    wide = column_width(160, count)
    assert wide is not None
    assert count * wide + 5 * (count - 1) < 160


def test_a_narrow_terminal_has_no_columns() -> None:
    assert column_width(60) is None
    wide = column_width(100)
    assert wide is not None
    assert 2 * wide + 5 < 100
