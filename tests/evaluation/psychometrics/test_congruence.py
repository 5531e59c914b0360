"""The factors of a panel against the people's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes

from pasctl.evaluation.psychometrics.congruence import congruence, loadings, rotated, tucker
from tests.evaluation.psychometrics.made import Floats, panel

TRAITS = "A" * 6 + "B" * 6 + "C" * 6


def answers_of(theta: Floats, rng: np.random.Generator, noise: float = 0.7) -> Floats:
    return np.repeat(theta, 6, axis=1) + noise * rng.standard_normal((len(theta), 18))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_the_same_answers_are_congruent_whatever_their_scale(rng: np.random.Generator) -> None:
    people = answers_of(rng.standard_normal((80, 3)), rng)
    moved = people * rng.uniform(0.1, 2, 18) + rng.uniform(-1, 1, 18)
    found = congruence(panel(people, people, TRAITS, moved))
    assert found is not None
    assert list(found.phi) == ["A", "B", "C"]
    assert list(found.phi.values()) == pytest.approx([1, 1, 1])


def test_random_answers_are_as_congruent_as_chance(rng: np.random.Generator) -> None:
    people = answers_of(rng.standard_normal((200, 3)), rng)
    of_noise = [congruence(panel(people, people, TRAITS, rng.standard_normal((200, 18)))) for _ in range(10)]
    phis = [np.mean(list(each.phi.values())) for each in of_noise if each is not None]
    chance = next(each.chance for each in of_noise if each is not None)
    assert len(phis) == 10
    assert np.mean(phis) == pytest.approx(chance, abs=0.08)
    assert chance < 0.6


def test_other_persons_of_the_same_structure_are_congruent_and_merged_traits_are_not(rng: np.random.Generator) -> None:
    people, theta = answers_of(rng.standard_normal((300, 3)), rng), rng.standard_normal((300, 3))
    others = congruence(panel(people, people, TRAITS, answers_of(theta, rng)))
    crossed = answers_of(theta, rng)
    crossed[:, 3:9] = crossed[:, [6, 7, 8, 3, 4, 5]]  # half the items of A and of B change places
    mixed = congruence(panel(people, people, TRAITS, crossed))
    assert others is not None
    assert mixed is not None
    assert min(others.phi.values()) > 0.97
    assert max(mixed.phi["A"], mixed.phi["B"]) < 0.8
    assert mixed.phi["C"] > 0.97


def test_components_and_rotation_are_those_of_the_correlation_matrix(rng: np.random.Generator) -> None:
    people = answers_of(rng.standard_normal((50, 3)), rng)
    scaled = (people - people.mean(axis=0)) / people.std(axis=0)
    values, vectors = np.linalg.eigh(np.corrcoef(people, rowvar=False))
    oracle = (vectors * np.sqrt(values))[:, :-4:-1]
    table = loadings(scaled, 3)
    assert np.abs(table) == pytest.approx(np.abs(oracle))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert rotated(table @ turn, table) == pytest.approx(table)
    # SciPy's solution of the same problem
    centred = table - table.mean(axis=0)
    target = rng.standard_normal((18, 3))
    target -= target.mean(axis=0)
    to, turned, _ = procrustes(target, centred)
    assert tucker(rotated(centred, target), target) == pytest.approx(tucker(turned, to))


def test_a_model_that_says_the_same_as_everybody_has_no_factors(rng: np.random.Generator) -> None:
    people = answers_of(rng.standard_normal((40, 3)), rng)
    assert congruence(panel(people, people, TRAITS, np.full((40, 18), 3.0))) is None
    people[0, 0] = np.nan
    assert congruence(panel(people, people, TRAITS, people)) is not None
