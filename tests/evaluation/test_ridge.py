"""Ridge against scikit-learn: one fit, and the whole nested cross-validation as loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from pasctl.evaluation.ridge import FEWEST_PERSONS, PENALTIES, choose_penalty, ridge, ridge_path


def people(persons: int, seed: int, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Answers to 12 fit and 9 report items that share three scores a person, with gaps."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(persons, 3))
    answers = 3 + scores @ rng.normal(size=(3, 21)) + noise * rng.normal(size=(persons, 21))
    answers = np.clip(np.round(answers), 1, 5)
    answers[rng.random(answers.shape) < 0.08] = np.nan
    return answers[:, :12], answers[:, 12:]


def oracle(told: np.ndarray, asked: np.ndarray, new: np.ndarray, penalty: float) -> np.ndarray:
    model = make_pipeline(SimpleImputer(), Ridge(alpha=penalty, solver="cholesky"))
    model.fit(told, SimpleImputer().fit_transform(asked))
    return np.clip(model.predict(new), 1, 5)


@pytest.mark.parametrize("persons", [8, 40])  # fewer and more than there are fit items
def test_a_fit_is_that_of_scikit_learn(persons: int) -> None:
    told, asked = people(persons, 0)
    new, _ = people(7, 1)
    for penalty, found in zip(PENALTIES, ridge_path(told, asked, new, PENALTIES), strict=True):
        np.testing.assert_allclose(found, oracle(told, asked, new, penalty), atol=1e-8)


def test_the_nested_cross_validation_is_that_of_loops() -> None:
    told, asked = people(33, 2)
    found = ridge(told, asked, seed=5)
    rng = np.random.default_rng(5)
    seen, chosen = np.zeros(33, int), set()
    for held in np.array_split(rng.permutation(33), 10):
        others = np.array([p for p in range(33) if p not in held])
        inner = np.array_split(rng.permutation(len(others)), 5)
        errors = []
        for penalty in PENALTIES:
            wrong = []
            for fold in inner:
                train = np.array([p for n, p in enumerate(others) if n not in fold])
                tested = others[fold]
                wrong += (
                    np.abs(oracle(told[train], asked[train], told[tested], penalty) - asked[tested]).ravel().tolist()
                )
            errors.append(np.nansum(wrong))
        penalty = PENALTIES[int(np.argmin(errors))]
        chosen.add(penalty)
        np.testing.assert_allclose(found[held], oracle(told[others], asked[others], told[held], penalty), atol=1e-8)
        seen[held] += 1
    assert (seen == 1).all()
    assert chosen <= set(PENALTIES[1:-1])  # the grid is wide enough here


def test_it_finds_what_there_is_and_nothing_where_there_is_nothing() -> None:
    told, asked = people(120, 3)
    mean = np.nanmean(asked, axis=0)
    error = np.nanmean(np.abs(ridge(told, asked) - asked))
    assert error < 0.7 * np.nanmean(np.abs(mean - asked))
    shuffled = told[np.random.default_rng(4).permutation(120)]
    assert choose_penalty(shuffled, asked, PENALTIES, np.random.default_rng(0)) >= 1000
    assert np.nanmean(np.abs(ridge(shuffled, asked) - asked)) == pytest.approx(
        np.nanmean(np.abs(mean - asked)), rel=0.06
    )


def test_the_fewest_persons_and_items_that_nobody_answered_are_no_trouble() -> None:
    told, asked = people(FEWEST_PERSONS, 6)
    told[:, 0] = asked[:, 0] = np.nan
    found = ridge(told, asked)
    assert np.isfinite(found).all()
    assert (found[:, 0] == 3).all()


def test_the_seed_decides() -> None:
    told, asked = people(30, 7)
    np.testing.assert_array_equal(ridge(told, asked), ridge(told, asked))
    assert not np.array_equal(ridge(told, asked), ridge(told, asked, seed=1))
