"""Do the answers that a model writes agree with the probabilities that results are made of? A sample is written out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.rows import Columns
from pasctl.inventory import LETTERS, letter_levels

Floats = NDArray[np.float64]

AUDIT_ORDER = "forward"
"""The order in which the options are shown where answers are written."""

_CELL = ("persona", "condition", "setting", "alpha", "item", "agreement", "argmax")

_ANSWER = re.compile(
    rf"(?:(?P<bare>[{LETTERS}])(?P<mark>[.):]?)|\((?P<round>[{LETTERS}])\)[.:]?|\[(?P<square>[{LETTERS}])\][.:]?)"
    r"(?P<gap>\s*)(?P<label>.*)",
    re.DOTALL,
)


def parse_answer(text: str, labels: Sequence[str]) -> str | None:
    """The letter A..E that a text answers with, or None if it is anything but an answer.

    An answer is a capital letter, alone or in brackets, then . or ) or : or none of them, then the letter's own label
    in any case or nothing. Anything else ("The", "A or B", a letter with another's label) is no answer.

    Args:
        text: what the model wrote; white space around it does not matter.
        labels: of the options, in the order of the letters.
    """
    found = _ANSWER.fullmatch(text.strip())
    if found is None:
        return None
    letter = found["bare"] or found["round"] or found["square"]
    label = found["label"]
    if not label:
        return letter
    apart = found["bare"] is None or found["mark"] or found["gap"]  # "Average" is no A with a label
    return letter if apart and _folded(label) == _folded(labels[LETTERS.index(letter)]) else None


def choose_cells(groups: Sequence[int], count: int, seed: int) -> list[tuple[int, int]]:
    """Which cells to write out: drawn without replacement, dealt to the groups in turn.

    Groups get numbers of cells that differ by at most one, save groups that have no more. A larger count gives the
    same cells and others.

    Args:
        groups: number of cells of each group.
        count: cells wanted, 0 or more; all are taken if there are no more.
        seed: of the draw.

    Returns:
        Pairs (group, cell) in ascending order.
    """
    drawn = [np.random.default_rng([seed, group]).permutation(cells) for group, cells in enumerate(groups)]
    dealt = sorted((turn, group) for group, cells in enumerate(groups) for turn in range(cells))[:count]
    return sorted((group, int(drawn[group][turn])) for turn, group in dealt)


def audit_rows(cells: Columns, texts: Sequence[str], labels: Sequence[str]) -> Columns:
    """The rows of an audit: cells of a results table and what the model wrote for each.

    Args:
        cells: at least persona, condition, setting, alpha, item, agreement and argmax, N rows. As answers are written
            with the options in the forward order, so should `argmax` be the most probable level in that order.
        texts: what the model wrote, N.
        labels: of the options, for agreement 5, 4, 3, 2, 1.

    Returns:
        Those columns, `text`, and `answer`: the level that the text names, float64, NaN where it names none.

    Raises:
        InputError: not one text a cell.
    """
    if len(texts) != len(cells["item"]):
        raise InputError(f"audit: expected a text for each of {len(cells['item'])} cells, found {len(texts)}")
    levels: dict[str | None, float] = dict(zip(LETTERS, letter_levels(AUDIT_ORDER), strict=True))
    answers = [levels.get(parse_answer(text, labels), np.nan) for text in texts]
    return {name: cells[name] for name in _CELL} | {
        "text": np.array(texts, dtype=object),
        "answer": np.array(answers, dtype=np.float64),
    }


def audit_table(rows: Columns) -> list[dict[str, Any]]:
    """How the written answers of each (condition, setting) compare, in the order in which these first appear.

    Args:
        rows: from `audit_rows`.

    Returns:
        dicts with condition, setting, and
        answers: how many were written; unparsed: how many of them name no option;
        mismatched: how many name another option than the most probable one;
        mae_worst: mean |answer - agreement| over the persons' answers that are there, with an unparsed answer as far
        off as an answer can be; None if the persons answered none.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(rows["condition"].tolist(), rows["setting"].tolist(), strict=True)):
        groups.setdefault(key, []).append(row)
    return [
        {"condition": condition, "setting": setting}
        | _compare(*(rows[name][picked].astype(np.float64) for name in ("answer", "argmax", "agreement")))
        for (condition, setting), picked in groups.items()
    ]


def _compare(answer: Floats, argmax: Floats, agreement: Floats) -> dict[str, Any]:
    """Of one group, from float64 [N] each."""
    unparsed, known = np.isnan(answer), np.isfinite(agreement)
    error = np.where(unparsed, np.maximum(agreement - 1, 5 - agreement), np.abs(answer - agreement))
    return {
        "answers": len(answer),
        "unparsed": int(unparsed.sum()),
        "mismatched": int((~unparsed & (answer != argmax)).sum()),
        "mae_worst": float(error[known].mean()) if known.any() else None,
    }


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()
