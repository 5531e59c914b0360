"""Baselines alone: what a questionnaire gives away without a model."""

from __future__ import annotations

from typing import Any

from pasctl.inventory import inventory_of, load_inventory, load_personas
from pasctl.inventory.respondents import MapLike
from pasctl.stages.progress import Reporter, Silent


def baselines(
    personas: str,
    *,
    inventory: str = "builtin",
    coding: str = "auto",
    map_file: MapLike = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Predict the report items of respondents without a model, in the layout of an evaluation's metrics.json.

    Args:
        personas: a spec such as "papi:FOLDER", "builtin", "demo:0-20", "E+" or "answers.json".
        inventory: which one trait poles and a file of answers are about; respondents bring their own.
        coding: how the answers are stored: "auto" expects agreements, or what a PAPI folder's answers prove; "keyed",
            "agreement", or for PAPI "as-published".
        map_file: what the columns and values of a file of answers are, see `pasctl.inventory.tables.table_map`.
        reporter: receives notes.

    Returns:
        coding, conditions (see `metrics_table`), and left_out: baseline -> why it cannot be had.

    Raises:
        InputError: an unknown form, another inventory, a bad answer, a coding that is not clear.
        MissingError: a file or folder is missing.
    """
    from pasctl.evaluation.baselines import baseline_rows, left_out
    from pasctl.evaluation.metrics import metrics_table
    from pasctl.evaluation.rows import item_table

    asked = load_inventory(inventory_of(personas) or inventory)
    people = load_personas(personas, asked, coding=coding, note=(reporter or Silent()).note, map_file=map_file)
    fit, report = asked.indices("fit"), asked.indices("report")
    rows = baseline_rows(people.ids, people.agreements, item_table(asked), fit, report)
    return {
        "coding": people.coding,
        "conditions": metrics_table(rows, traits=asked.trait_codes),
        "left_out": left_out(len(people)),
    }
