"""The personal metrics equal loops over persons and items, and hold what they promise of planted and absent effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pasctl.evaluation.metrics import number_groups
from pasctl.evaluation.personal import NAMES, likeness, personal_metrics


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    return float(np.corrcoef(x[known], y[known])[0, 1])


def by_loops(model: np.ndarray, person: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Own r, wrong r and place of every person, by the words of the definition."""
    own, wrong, place = [], [], []
    everybody = range(len(model))
    answers = person - np.nanmean(person, axis=0)
    for me in everybody:
        score = model[me] - model.mean(axis=0)
        others = [q for q in everybody if q != me]
        own.append(pearson(score, answers[me]))
        without = model[others].mean(axis=0)
        wrong.append(float(np.mean([pearson(model[q] - without, answers[me]) for q in others])))
        with_all = [pearson(score, answers[q]) for q in everybody]
        place.append(1 + sum(r > with_all[me] for r in with_all))
    return own, wrong, place


def planted(rng: np.random.Generator, people: int = 24, items: int = 90, effect: float = 0.0) -> tuple:
    """What a model says and persons answer: all have the items' means in common, an effect ties each to its own."""
    person = rng.normal(size=(people, items)) + rng.normal(size=items)
    model = effect * person + rng.normal(size=person.shape) + 2 * rng.normal(size=items)
    return model, person


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_the_matrices_equal_loops(missing: float) -> None:
    rng = np.random.default_rng(0)
    model, person = planted(rng, people=9, items=30, effect=0.3)
    person[rng.random(person.shape) < missing] = np.nan
    own, wrong, place = by_loops(model, person)
    found = likeness(model, person)
    np.testing.assert_allclose(found.own, own, atol=1e-9)
    np.testing.assert_allclose(found.wrong, wrong, atol=1e-9)
    np.testing.assert_allclose(found.place, place, atol=1e-9)
    assert (found.others == 9).all()


def test_what_all_persons_share_counts_for_nothing() -> None:
    rng = np.random.default_rng(1)
    model, person = planted(rng, effect=0.2)
    shifted = likeness(model + 5 * rng.normal(size=model.shape[1]), person + 5 * rng.normal(size=model.shape[1]))
    for before, after in zip(likeness(model, person), shifted, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-7)


def test_a_model_that_is_the_same_for_everybody_has_none() -> None:
    rng = np.random.default_rng(2)
    _, person = planted(rng)
    found = likeness(np.tile(rng.normal(size=person.shape[1]), (len(person), 1)), person)
    assert all(np.isnan(values).all() for values in found)


def test_equals_share_the_mean_place() -> None:
    rng = np.random.default_rng(3)
    model, person = planted(rng, people=6, effect=1.0)
    person[:] = person[0] + np.array([[1.0], [1.0], [1.0], [-1.0], [-1.0], [-1.0]]) * rng.normal(size=person.shape[1])
    model[:3] = person[:3]
    model[3:] = person[3:]
    np.testing.assert_allclose(likeness(model, person).place, 2.0)  # three are alike and come first


def frame(model: np.ndarray, person: np.ndarray, *, reading: str = "statements", draw: int = 0) -> pd.DataFrame:
    people, items = model.shape
    return pd.DataFrame(
        {
            "reading": reading,
            "condition": "pas",
            "setting": "4",
            "draw": draw,
            "persona": np.repeat([f"p{place}" for place in range(people)], items),
            "item": np.tile([f"i{place}" for place in range(items)], people),
            "facet": "f",
            "agreement": person.ravel(),
            "dlp": model.ravel() if reading == "statements" else np.nan,
            "expected": 3.0 if reading == "statements" else model.ravel(),
        }
    )


def metrics(*tables: pd.DataFrame) -> dict:
    numbered = number_groups(pd.concat(tables, ignore_index=True), ("reading", "condition", "setting"))
    return personal_metrics(numbered)[0]


@pytest.mark.parametrize("reading", ["statements", "letters"])
def test_a_planted_effect_shows_and_another_persons_directions_do_not(reading: str) -> None:
    model, person = planted(np.random.default_rng(4), effect=0.3)
    found = metrics(frame(model, person, reading=reading))
    assert tuple(found) == NAMES
    assert found["distinctive_r"] == pytest.approx(np.mean(by_loops(model, person)[0]))
    assert found["distinctive_r_interval"][0] > 0.15
    assert abs(found["wrong_person_r"]) < 0.01
    assert found["own_place"] < 5 < found["own_place_chance"] == 12.5
    assert found["own_top10"] > 0.5 > found["own_top10_chance"] == 3 / 24


def test_without_an_effect_intervals_hold_what_chance_gives() -> None:
    """In at least 90% of 300 tables, where 95% are meant and two standard errors are 2.5%."""
    rng = np.random.default_rng(5)
    inside = {"distinctive_r": 0, "wrong_person_r": 0, "own_place": 0}
    for _ in range(300):
        found = metrics(frame(*planted(rng, people=16, items=40)))
        for name in inside:
            low, high = found[f"{name}_interval"]
            inside[name] += low <= (found["own_place_chance"] if name == "own_place" else 0) <= high
    assert all(count >= 270 for count in inside.values()), inside


def test_draws_are_averaged_over() -> None:
    rng = np.random.default_rng(6)
    model, person = planted(rng, effect=0.3)
    other, _ = planted(rng)
    both = metrics(frame(model, person), frame(other, person, draw=1))
    alone = [metrics(frame(values, person))["distinctive_r"] for values in (model, other)]
    assert both["distinctive_r"] == pytest.approx(np.mean(alone))


def test_two_persons_are_too_few() -> None:
    model, person = planted(np.random.default_rng(7), people=2)
    assert metrics(frame(model, person)) == dict.fromkeys(NAMES)
