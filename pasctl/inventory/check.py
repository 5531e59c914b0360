"""What a questionnaire and its respondents amount to, before anything is computed with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from pasctl.inventory.coding import CodingReport, prove_coding
from pasctl.inventory.papi import stored_answers
from pasctl.inventory.simulate import simulate
from pasctl.inventory.spec import load_inventory, papi_folder


@dataclass(frozen=True)
class DataReport:
    """The counts of `pasctl data check`, and what the correlations say about the coding."""

    inventory: str
    items: int
    items_per_trait: dict[str, int]
    items_keyed_minus: int
    split: dict[str, int]
    respondents: int
    coding: CodingReport
    missing_answers: int
    respondents_with_missing: int


def check_data(spec: str) -> DataReport:
    """Counts what the inventory `spec` and its own respondents hold: "builtin", "papi:DIR" or "papi".

    An ambiguous coding is reported here, and refused only when personas are read.
    """
    inventory = load_inventory(spec)
    if spec == "builtin":
        stored = simulate(inventory).agreements
    else:
        _, stored = stored_answers(papi_folder(spec.partition(":")[2]), inventory)
    missing = np.isnan(stored)
    traits = Counter(inventory.traits)
    return DataReport(
        inventory=spec,
        items=len(inventory),
        items_per_trait={trait: traits[trait] for trait in inventory.trait_codes},
        items_keyed_minus=int(np.count_nonzero(inventory.keys < 0)),
        split={"fit": len(inventory.indices("fit")), "report": len(inventory.indices("report"))},
        respondents=len(stored),
        coding=prove_coding(stored, inventory),
        missing_answers=int(missing.sum()),
        respondents_with_missing=int(missing.any(axis=1).sum()),
    )
