"""Logistic probes of 20 personas on all heads of SmolLM2-135M's shape, on random head outputs."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from pasctl.probes.fit import fit_probes
from pasctl.probes.logistic import LogisticProbe
from tests.bench.timing import Timing, timed

PERSONAS, ITEMS, LAYERS, HEADS, DIM = 20, 120, 30, 9, 64
SAMPLE_HEADS = 9


def run() -> list[Timing]:
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.standard_normal((ITEMS, 2, LAYERS, HEADS, DIM), dtype=np.float32))
    signs = generator.integers(-1, 2, (PERSONAS, ITEMS)).astype(np.int8)
    held_out = np.arange(ITEMS) % 4 == 0

    def loop() -> None:
        for persona in range(PERSONAS):
            items = np.flatnonzero((signs[persona] != 0) & ~held_out)
            agree = signs[persona, items] > 0
            labels = np.stack([agree, ~agree], axis=1).ravel()
            for head in range(SAMPLE_HEADS):
                rows = x[items, :, 0, head].reshape(-1, DIM).double().numpy()
                LogisticRegression(max_iter=1000).fit(rows / np.sqrt(np.mean(rows**2)), labels)

    fits = f"{PERSONAS * LAYERS * HEADS:,} fits"
    return [
        timed("pasctl: all personas and heads of a layer at once", fits, lambda: _ours(x, signs, held_out)),
        timed("scikit-learn, one fit at a time", fits, loop, share=SAMPLE_HEADS / (LAYERS * HEADS)),
    ]


def _ours(x: torch.Tensor, signs: np.ndarray, held_out: np.ndarray) -> None:
    fit_probes(x, [(0, 1)], signs, held_out, LogisticProbe())
