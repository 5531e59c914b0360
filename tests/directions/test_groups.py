"""Directions of key-value groups against naive loops; groups of one head are heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pasctl.directions import DIRECTIONS
from pasctl.directions.fit import fit_directions
from pasctl.directions.groups import fit_groups, members, top_groups
from pasctl.directions.mass_mean import MassMean
from pasctl.directions.select import top_heads
from pasctl.errors import PasctlError

P, N_ITEMS, L, G, SIZE, D, K = 4, 30, 3, 4, 3, 6, 5
PAIRS = [(0, 1), (2, 3)]


@pytest.fixture
def data() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Head outputs [items, 4, L, G * SIZE, D], signs [P, I] and (layer, group) [P, K, 2] that differ."""
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(N_ITEMS, 4, L, G * SIZE, D)) + rng.normal(size=(1, 4, 1, G * SIZE, D)))
    signs = rng.choice([-1, 0, 1], p=[0.3, 0.2, 0.5], size=(P, N_ITEMS)).astype(np.int8)
    groups = np.stack([np.stack(np.divmod(rng.permutation(L * G)[:K], G), axis=1) for _ in range(P)])
    return x.float(), signs, groups


def naive(x: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The difference of class means of one group [I, 4, SIZE, D], and the rows that it is of."""
    rows, labels = [], []
    for item in np.flatnonzero(signs):
        for agree, disagree in PAIRS:
            for column, label in ((agree, 1), (disagree, 0)):
                rows.append(sum(x[item, column, head].astype(np.float64) for head in range(SIZE)) / SIZE)
                labels.append(label if signs[item] > 0 else 1 - label)
    table = np.array(rows)
    return table[np.array(labels) == 1].mean(axis=0) - table[np.array(labels) == 0].mean(axis=0), rows


@pytest.mark.parametrize("center", ["none", "population"])
def test_a_groups_direction_is_that_of_its_heads_mean(data: tuple, center: str) -> None:
    x, signs, groups = data
    found = fit_groups(x, PAIRS, signs, members(groups, SIZE), MassMean(), center, size=SIZE)
    assert (found.theta.shape, found.theta.dtype) == ((P, K * SIZE, D), np.float32)
    for p, k in np.ndindex(P, K):
        layer, group = groups[p, k]
        part = x[:, :, layer, group * SIZE : (group + 1) * SIZE].numpy()
        raw, rows = naive(part, signs[p])
        if center == "population":
            raw = raw - np.mean([naive(part, each)[0] for each in signs], axis=0)
        theta = raw / np.linalg.norm(raw)
        for head in range(SIZE):
            place = k * SIZE + head
            assert found.heads[p, place].tolist() == [layer, group * SIZE + head]
            assert np.allclose(found.theta[p, place], theta, atol=1e-6)
            assert found.sigma[p, place] == pytest.approx(np.std(np.array(rows) @ theta), rel=1e-5)
            assert np.array_equal(found.theta[p, place], found.theta[p, k * SIZE])


def test_groups_are_ranked_by_the_mean_scores_of_their_heads() -> None:
    rng = np.random.default_rng(0)
    accuracy = rng.integers(0, 3, size=(P, L, G * SIZE)).astype(np.float32) / 2  # many ties
    log_loss = rng.random(size=(P, L, G * SIZE)).astype(np.float32)
    chosen = top_groups(accuracy, log_loss, K, SIZE)
    for p in range(P):

        def score(at: tuple[int, ...], p: int = p) -> tuple[float, float, tuple[int, ...]]:
            mine = slice(at[1] * SIZE, (at[1] + 1) * SIZE)
            return -float(accuracy[p, at[0], mine].mean()), float(log_loss[p, at[0], mine].mean()), at

        best = sorted(np.ndindex(L, G), key=score)[:K]
        assert chosen[p].tolist() == [[layer, group * SIZE + head] for layer, group in best for head in range(SIZE)]


@pytest.mark.parametrize("name", DIRECTIONS.names())
def test_groups_of_one_head_are_heads(data: tuple, name: str) -> None:
    x, signs, groups = data
    method = DIRECTIONS.get(name)()
    one, plain = fit_groups(x, PAIRS, signs, groups, method, size=1), fit_directions(x, PAIRS, signs, groups, method)
    assert all(np.array_equal(getattr(one, part), getattr(plain, part)) for part in ("heads", "theta", "sigma"))
    scores = np.random.default_rng(1).random(size=(2, P, L, G))
    assert np.array_equal(top_groups(*scores, K, 1), top_heads(*scores, K))


def test_messages_name_the_head_that_is_not_finite_and_the_group_without_a_direction(data: tuple) -> None:
    x, signs, groups = data
    heads = members(np.stack([groups[0]] * P), SIZE)
    layer, head = heads[0, 1]
    flat, broken = x.clone(), x.clone()
    flat[:, :, layer, head // SIZE * SIZE : head // SIZE * SIZE + SIZE] = 1.0
    with pytest.raises(PasctlError, match=f"layer {layer} group {head // SIZE}: expected a direction"):
        fit_groups(flat, PAIRS, signs, heads, MassMean(), size=SIZE)
    broken[3, 1, layer, head] = torch.nan
    with pytest.raises(PasctlError, match=f"layer {layer} head {head}: expected finite"):
        fit_groups(broken, PAIRS, signs, heads, MassMean(), size=SIZE)
