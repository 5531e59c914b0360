"""Probes of 200 personas on all heads of SmolLM2-135M's shape, against a loop of scikit-learn's fits.

Head outputs are random, with the structure of real ones: a few factors of the item under noise whose spectrum falls.
Labels are the answers of PAPI's respondents where PASCTL_PAPI names its folder, else simulated. Ours is timed with
scaling and scoring, scikit-learn's without, at its own tolerance of 1e-4, which is the laxer one.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pasctl.inventory import load_inventory, load_personas, signs
from pasctl.inventory.simulate import simulate
from pasctl.probes.fit import ProbeMethod, fit_probes
from pasctl.probes.logistic import LogisticProbe
from pasctl.probes.ridge import RidgeProbe
from tests.bench.timing import Timing, timed

PERSONAS, ITEMS, LAYERS, HEADS, DIM, RANK = 200, 120, 30, 9, 64, 12
SAMPLE_LAYERS, SAMPLE_PERSONAS = range(0, LAYERS, 3), range(0, PERSONAS, 10)


def run() -> list[Timing]:
    x, (source, answers) = head_outputs(), answer_signs()
    held_out = np.arange(ITEMS) % 4 == 0  # 90 items to train on, of two rows each
    fits = f"{PERSONAS * LAYERS * HEADS:,} fits, {source} answers"
    sample = len(SAMPLE_LAYERS) * len(SAMPLE_PERSONAS)

    def ours(probe: ProbeMethod) -> Callable[[], object]:
        return lambda: fit_probes(x, [(0, 1)], answers, held_out, probe)

    def loop() -> None:
        with threadpool_limits(torch.get_num_threads()):
            for layer in SAMPLE_LAYERS:
                for persona in SAMPLE_PERSONAS:
                    items = np.flatnonzero((answers[persona] != 0) & ~held_out)
                    agree = answers[persona, items] > 0
                    rows = x[items, :, layer, layer % HEADS].reshape(-1, DIM).double().numpy()
                    rows -= rows.mean(axis=0)
                    labels = np.stack([agree, ~agree], axis=1).ravel()
                    LogisticRegression(max_iter=1000).fit(rows / np.sqrt(np.mean(rows**2)), labels)

    return [
        timed("pasctl logistic: all personas and heads of a layer", fits, ours(LogisticProbe())),
        timed(
            f"scikit-learn, one fit at a time ({sample} timed)", fits, loop, share=sample / (PERSONAS * LAYERS * HEADS)
        ),
        timed("pasctl ridge: one factorisation a head", fits, ours(RidgeProbe())),
    ]


def head_outputs() -> torch.Tensor:
    """Float32 [items, 2, layers, heads, D]."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((ITEMS, RANK)).astype(np.float32)
    loadings = rng.standard_normal((2, LAYERS, HEADS, RANK, DIM), dtype=np.float32)
    loadings *= np.arange(1, RANK + 1, dtype=np.float32)[:, None] ** -0.7
    noise = rng.standard_normal((ITEMS, 2, LAYERS, HEADS, DIM), dtype=np.float32)
    noise *= 0.3 * np.logspace(0, -1.5, DIM, dtype=np.float32)
    offset = rng.standard_normal((2, LAYERS, HEADS, DIM), dtype=np.float32)
    return torch.from_numpy(np.einsum("ir,alhrd->ialhd", factors, loadings) + offset + noise)


def answer_signs() -> tuple[str, NDArray[np.int8]]:
    """Where the answers come from, and their signs [personas, items]."""
    folder = os.environ.get("PASCTL_PAPI")
    inventory = load_inventory(f"papi:{folder}" if folder else "builtin")
    if folder:
        people = load_personas(f"papi:{folder}:0-{PERSONAS}", inventory)
        return "PAPI's", signs(people.agreements[:, inventory.indices("fit")[:ITEMS]], 3.0)
    return "simulated", signs(np.tile(simulate(inventory, PERSONAS).agreements, ITEMS // len(inventory)), 3.0)
