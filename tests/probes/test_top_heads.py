"""The heads that are chosen are those that scikit-learn's fits would choose, on data shaped like activations."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from pasctl.directions.select import top_heads
from pasctl.inventory import load_inventory, load_personas, signs
from pasctl.probes.fit import fit_probes
from pasctl.probes.logistic import LogisticProbe
from pasctl.probes.split import split_items

L, H, D, P, K = 10, 9, 64, 4, 24
PAPI = os.environ.get("PASCTL_PAPI")


def head_outputs(traits: list[str], keys: np.ndarray) -> torch.Tensor:
    """[I, 2, L, H, D]: a few factors of the item, which the answers show with different loadings, an offset for each
    answer, and noise whose spectrum falls; heads differ in how much of the trait they show."""
    rng = np.random.default_rng(0)
    rank = 12
    factors = rng.standard_normal((len(traits), rank))
    factors[:, :5] += 2 * (np.array(traits)[:, None] == np.array(list("OCEAN"))) * keys[:, None]
    spectrum = np.arange(1, rank + 1) ** -0.7
    x = np.empty((len(traits), 2, L, H, D), np.float32)
    for layer, head in np.ndindex(L, H):
        loadings = spectrum[:, None] * rng.standard_normal((2, rank, D))
        noise = rng.uniform(0.3, 3) * rng.standard_normal((len(traits), 2, D)) * np.logspace(0, -1.5, D)
        x[:, :, layer, head] = np.stack([factors @ each for each in loadings], 1) + rng.standard_normal((2, D)) + noise
    return torch.from_numpy(x)


@pytest.mark.parametrize(
    ("inventory", "personas"),
    [
        ("builtin", "builtin"),
        pytest.param(
            f"papi:{PAPI}",
            f"papi:{PAPI}:0-{P}",
            marks=pytest.mark.skipif(PAPI is None, reason="PASCTL_PAPI names no folder of PAPI answers"),
        ),
    ],
    ids=["simulated", "papi"],
)
def test_top_heads_are_those_of_scikit_learn(inventory: str, personas: str) -> None:
    items = load_inventory(inventory)
    columns = np.asarray(items.indices("fit"))
    traits = [items.items[column].trait for column in columns]
    of_persona = signs(load_personas(personas, items).agreements[:P, columns], 3.0)
    x, held_out = head_outputs(traits, items.keys[columns]), split_items(traits, 0.25, 0)
    ours = fit_probes(x, [(0, 1)], of_persona, held_out, LogisticProbe())
    accuracy, loss = np.empty((P, L, H)), np.empty((P, L, H))
    for layer, head in np.ndindex(L, H):
        one = x[:, :, layer, head].double().numpy()
        train = one[~held_out].reshape(-1, D)
        scaled = (one - train.mean(0)) / np.sqrt(((train - train.mean(0)) ** 2).mean())
        for p in range(P):
            rows, labels = [], []
            for part in (~held_out, held_out):
                used = part & (of_persona[p] != 0)
                agrees = of_persona[p, used] > 0
                rows.append(scaled[used].reshape(-1, D))
                labels.append(np.stack([agrees, ~agrees], axis=1).ravel())
            oracle = LogisticRegression(tol=1e-6, max_iter=10_000).fit(rows[0], labels[0])
            accuracy[p, layer, head] = oracle.score(rows[1], labels[1])
            loss[p, layer, head] = log_loss(labels[1], oracle.predict_proba(rows[1])[:, 1])
    mine, theirs = top_heads(ours.accuracy, ours.log_loss, K), top_heads(accuracy, loss, K)
    both = [len({*map(tuple, one)} & {*map(tuple, other)}) for one, other in zip(mine, theirs, strict=True)]
    assert sum(both) >= 0.95 * P * K
    assert len({tuple(map(tuple, np.sort(each, axis=0))) for each in mine}) > 1  # not the same heads for everybody
    np.testing.assert_allclose(ours.log_loss, loss, rtol=1e-3)
