"""Cross-validated accuracies of shuffled answers against one probe at a time, and what they say of noise and signal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pasctl.errors import InputError
from pasctl.evaluation.intervals import permutation_p
from pasctl.probes.fit import fit_probes
from pasctl.probes.permutation import permuted_accuracy
from pasctl.probes.ridge import RidgeProbe

ITEMS, LAYERS, HEADS, WIDTH = 24, 3, 2, 6
PAIRS = ((0, 1), (2, 3))
FOLD = np.arange(ITEMS) % 4


def head_outputs(seed: int, items: int = ITEMS, heads: int = HEADS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, 4, LAYERS, heads, WIDTH, generator=generator, dtype=torch.float64)


def answers(seed: int, people: int, items: int = ITEMS) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 0, 1], (people, items), p=[0.3, 0.2, 0.5]).astype(np.int8)


def test_it_equals_probes_that_are_trained_fold_by_fold_and_order_by_order() -> None:
    x, signs = head_outputs(0), answers(1, 3)
    found = permuted_accuracy(x, PAIRS, signs, FOLD, c=0.5, permutations=2, seed=7)
    assert found.accuracy.shape == (3, LAYERS, HEADS)
    assert found.permuted.shape == (2, 3, LAYERS, HEADS)
    rng = np.random.default_rng(7)
    for values, order in zip(
        (found.accuracy, *found.permuted),
        (np.arange(ITEMS), rng.permutation(ITEMS), rng.permutation(ITEMS)),
        strict=True,
    ):
        given = signs[:, order]
        right, count = np.zeros(values.shape), np.zeros(3)
        for fold in range(4):
            scores = fit_probes(x, PAIRS, given, fold == FOLD, RidgeProbe(0.5))
            right += scores.accuracy * scores.n_validation[:, None, None]
            count += scores.n_validation
        np.testing.assert_allclose(values, right / count[:, None, None], atol=1e-6)
        assert (count == np.count_nonzero(signs, axis=1)).all()  # every answer is predicted once


def test_an_order_is_the_same_for_all_personas_and_depends_on_the_seed_alone() -> None:
    x, signs = head_outputs(2), answers(3, 2)
    twice = np.concatenate([signs[:1], signs[:1]])
    found = permuted_accuracy(x, PAIRS, twice, FOLD, permutations=5, seed=0)
    np.testing.assert_allclose(found.permuted[:, 0], found.permuted[:, 1], atol=1e-9)
    again = permuted_accuracy(x, PAIRS, signs, FOLD, permutations=3, seed=0)
    np.testing.assert_allclose(again.permuted[:, 0], found.permuted[:3, 0], atol=1e-9)
    other = permuted_accuracy(x, PAIRS, signs, FOLD, permutations=3, seed=1)
    assert not np.allclose(other.permuted, again.permuted)


def test_the_top_heads_are_each_personas_own() -> None:
    found = permuted_accuracy(head_outputs(4), PAIRS, answers(5, 3), FOLD, permutations=2, seed=0)
    top, shuffled = found.top(2)
    for person in range(3):
        assert top[person] == pytest.approx(np.sort(found.accuracy[person].ravel())[-2:].mean())
        assert shuffled[1, person] == pytest.approx(np.sort(found.permuted[1, person].ravel())[-2:].mean())


def p_of(x: torch.Tensor, signs: np.ndarray, seed: int) -> float:
    found = permuted_accuracy(x, PAIRS, signs, FOLD, permutations=19, seed=seed)
    top, shuffled = found.top(3)
    return permutation_p(float(top.mean()), shuffled.mean(axis=1))


def test_noise_is_called_chance_at_its_rate_though_personas_answer_alike() -> None:
    p = []
    for seed in range(120):
        signs = answers(seed, 1).repeat(4, axis=0)  # alike but for a few answers
        signs[np.random.default_rng(seed).random(signs.shape) < 0.2] *= -1
        p.append(p_of(head_outputs(1000 + seed), signs, seed))
    assert np.mean(np.array(p) <= 0.05) <= 0.11
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)


def test_a_head_that_knows_the_answers_is_above_chance() -> None:
    p = []
    for seed in range(20):
        signs = np.where(answers(seed, 1) == 0, 1, answers(seed, 1))
        x = head_outputs(2000 + seed)
        for agree, disagree in PAIRS:
            x[:, agree, 1, 0, 0] += 1.5 * torch.from_numpy(signs[0])
            x[:, disagree, 1, 0, 0] -= 1.5 * torch.from_numpy(signs[0])
        p.append(p_of(x, signs, seed))
    assert np.mean(np.array(p) <= 0.05) >= 0.9


def test_what_cannot_be_cross_validated_is_refused() -> None:
    x, signs = head_outputs(0), answers(1, 2)
    signs[1] = 0
    for given, fold in ((signs, FOLD), (answers(1, 2), FOLD * 0), (answers(1, 2), FOLD[:3])):
        with pytest.raises(InputError, match="permutations: expected answers"):
            permuted_accuracy(x, PAIRS, given, fold, permutations=1, seed=0)
