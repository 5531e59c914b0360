"""Do the answers that a model writes agree with the probabilities that results are made of? A sample is written out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.errors import InputError
from pasctl.evaluation.rows import ends
from pasctl.inventory import Inventory, option_levels

if TYPE_CHECKING:
    import pandas as pd

AUDIT_ORDER = "forward"
"""The order in which the options are shown where answers are written."""

_CELL = ("persona", "condition", "setting", "alpha", "item", "agreement", "argmax")

_ANSWER = re.compile(
    r"(?:(?P<bare>[A-Z]|-?\d+)(?P<mark>[.):]?)|\((?P<round>[A-Z]|-?\d+)\)[.:]?|\[(?P<square>[A-Z]|-?\d+)\][.:]?)"
    r"(?P<gap>\s*)(?P<label>.*)",
    re.DOTALL,
)


def parse_answer(text: str, names: Sequence[str], labels: Sequence[str]) -> str | None:
    """The option's name, such as A, that a text answers with, or None if it is anything but an answer.

    An answer is a name, alone or in brackets, then . or ) or : or none of them, then the option's own label in any case
    or nothing. Anything else ("The", "A or B", a letter with another's label) is no answer.

    Args:
        text: what the model wrote; white space around it does not matter.
        names: of the options: capital letters or numbers.
        labels: of the options, in the same order.
    """
    found = _ANSWER.fullmatch(text.strip())
    if found is None:
        return None
    name = found["bare"] or found["round"] or found["square"]
    if name not in names:
        return None
    label = found["label"]
    if not label:
        return name
    apart = found["bare"] is None or found["mark"] or found["gap"]  # "Average" is no A with a label
    return name if apart and _folded(label) == _folded(labels[names.index(name)]) else None


def parse_text(text: str, names: Sequence[str]) -> str | None:
    """The option whose text this is, in any case, in quotes or not, with its full stop or without; None for any other.

    Args:
        text: what the model wrote; white space around it does not matter.
        names: the texts of the options.
    """
    said = _bare(text)
    return next((name for name in names if _bare(name) == said), None)


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


def audit_rows(cells: pd.DataFrame, texts: Sequence[str], inventory: Inventory) -> pd.DataFrame:
    """The rows of an audit: cells of a results table and what the model wrote for each.

    Args:
        cells: at least persona, condition, setting, alpha, item, agreement and argmax, N rows. As answers are written
            with the options in the forward order, so should `argmax` be the most probable level in that order.
        texts: what the model wrote, N.
        inventory: whose items the cells are about.

    Returns:
        Those columns, `low` and `high` where the cells have them, `text`, and `answer`: the score of the option that
        the text names, float64, NaN where it names none.

    Raises:
        InputError: not one text a cell.
    """
    if len(texts) != len(cells):
        raise InputError(f"audit: expected a text for each of {len(cells)} cells, found {len(texts)}")
    answers = [
        _score(text, inventory, inventory.position[item]) for text, item in zip(texts, cells["item"], strict=True)
    ]
    return cells[[*_CELL, *(name for name in ("low", "high") if name in cells)]].assign(
        text=list(texts), answer=np.array(answers, dtype=np.float64)
    )


def audit_table(rows: pd.DataFrame) -> list[dict[str, Any]]:
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
    answer, agreement = rows["answer"], rows["agreement"]
    low, high = ends(rows)
    farthest = np.maximum(agreement - low, high - agreement)
    judged = rows.assign(
        unparsed=answer.isna(),
        mismatched=answer.notna() & (answer != rows["argmax"]),
        error=(answer - agreement).abs().where(answer.notna(), farthest),
    )
    return [
        {
            "condition": condition,
            "setting": setting,
            "answers": len(group),
            "unparsed": int(group["unparsed"].sum()),
            "mismatched": int(group["mismatched"].sum()),
            "mae_worst": float(group["error"].mean()) if group["error"].notna().any() else None,
        }
        for (condition, setting), group in judged.groupby(["condition", "setting"], sort=False)
    ]


def _score(text: str, inventory: Inventory, column: int) -> float:
    """What the option scores that a text answers an item with."""
    scale = inventory.scales[column]
    names = inventory.option_names(inventory.items[column], option_levels(AUDIT_ORDER, len(scale)))
    by_text = inventory.option_labels == "text"
    name = parse_text(text, names) if by_text else parse_answer(text, names, scale.labels)
    return float("nan") if name is None else float(scale.scores[names.index(name)])


def _bare(text: str) -> str:
    return _folded(text.strip().strip("\"'“”").removesuffix("."))


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()
