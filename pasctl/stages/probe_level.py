"""The permutation level of probes: what the best heads reach on shuffled answers, beside what they reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.folds import stratified_folds
from pasctl.evaluation.intervals import permutation_p
from pasctl.inventory import Personas
from pasctl.stages.progress import Reporter

if TYPE_CHECKING:
    from pasctl.stages.fit_items import FitItems

FILE = "permutation.json"
FOLDS = 4
TOP_K = 24
"""Heads whose mean accuracy is tested: as many as are steered by default."""
MOST_PERSONAS = 64
"""Personas that it is measured on, from places evenly apart: a mean over these scatters little."""


def permutation_level(
    items: FitItems, personas: Personas, *, c: float, permutations: int, seed: int, reporter: Reporter
) -> dict[str, Any]:
    """What `permutation.json` says of probes; see `pasctl.probes.permutation`.

    Returns:
        permutations, folds, top_k, heads, personas (how many were measured), c;
        top and best: accuracy of the top_k heads, or the best, picked by each persona and mean over personas; level,
        that of shuffled answers, mean over orders; p, how often an order reaches the accuracy (one-sided);
        accuracy and level: of each head [L][H], mean over personas, and over orders; highest_level: mean over orders of
        the best head's mean over personas.
    """
    from pasctl.probes.permutation import permuted_accuracy

    layers, heads = items.head_outputs.shape[2:4]
    folds, k = min(FOLDS, len(items.columns)), min(TOP_K, layers * heads)
    answers = _sampled(personas, items)
    with reporter.progress("permutations", layers, "layers") as advance:
        found = permuted_accuracy(
            items.head_outputs,
            items.pairs,
            answers,
            stratified_folds(items.traits, folds, seed),
            c=c,
            permutations=permutations,
            seed=seed,
            progress=lambda done, total: advance(1),
        )
    over_people = found.permuted.mean(axis=1)
    return {
        "permutations": permutations,
        "folds": folds,
        "top_k": k,
        "heads": layers * heads,
        "personas": len(answers),
        "c": c,
        "top": _tested(*found.top(k)),
        "best": _tested(*found.top(1)),
        "accuracy": found.accuracy.mean(axis=0).tolist(),
        "level": over_people.mean(axis=0).tolist(),
        "highest_level": float(over_people.max(axis=(1, 2)).mean()),
    }


def _tested(as_answered: NDArray[np.float64], shuffled: NDArray[np.float64]) -> dict[str, float]:
    """Means over personas, from values [P] and [N, P]."""
    observed, permuted = float(as_answered.mean()), shuffled.mean(axis=1)
    return {"accuracy": observed, "level": float(permuted.mean()), "p": permutation_p(observed, permuted)}


def _sampled(personas: Personas, items: FitItems) -> NDArray[np.int8]:
    """Signs of at most MOST_PERSONAS personas."""
    rows = np.unique(np.linspace(0, len(personas) - 1, min(MOST_PERSONAS, len(personas))).round().astype(np.int64))
    return np.concatenate(
        [
            items.signs(part.agreements[:, items.columns])
            for part in personas.parts([(int(row), int(row) + 1) for row in rows])
        ]
    )
