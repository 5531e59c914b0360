"""Directions of key-value groups wherever directions are fitted again or drawn: groups stay groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pasctl.inventory import signs
from pasctl.stages.cross_validation import ChoiceParams, CrossValidation
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions, read_selection
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.steering import DirectionSet
from pasctl.stages.train_probes import read_fit_items, train_probes
from tests.tiny import HEADS, KV_HEADS, tiny_loaded

pytestmark = pytest.mark.integration

SIZE, PEOPLE, TOP_K = HEADS // KV_HEADS, 3, 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fitted")


@pytest.fixture(scope="module")
def crossed(store: Path) -> CrossValidation:
    """A cross-validation of directions of groups; its model is never asked."""
    model = tiny_loaded()
    activations = extract(model, store=store, option_order="forward").artifact
    probes = train_probes(personas=f"builtin:0-{PEOPLE}", store=store).artifact
    directions = fit_directions(store=store, granularity="kv-group", top_k=TOP_K, center="population").artifact
    assert None not in (activations, probes, directions)
    params = ChoiceParams((0.0, 10.0), 4, "all")
    handle = ModelHandle.of(model)
    return CrossValidation(directions, activations, probes, params, Neutral.read("builtin"), handle, 0, 1000)


def assert_groups(found: DirectionSet) -> None:
    assert found.size == SIZE
    by_unit = found.heads.reshape(PEOPLE, TOP_K, SIZE, 2)
    assert (by_unit[..., 0] == by_unit[:, :, :1, 0]).all()
    assert (by_unit[..., 1] == by_unit[:, :, :1, 1] // SIZE * SIZE + np.arange(SIZE)).all()
    theta = found.theta.reshape(PEOPLE, TOP_K, SIZE, -1)
    assert (theta == theta[:, :, :1]).all()
    assert np.allclose(np.linalg.norm(theta, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("held", [None, 1])
def test_groups_are_ranked_and_fitted_as_groups_with_all_items_and_without_a_fold(
    held: int | None, crossed: CrossValidation
) -> None:
    items, train = read_fit_items(crossed.activations), np.flatnonzero(crossed.folds != held)
    found = crossed.fitted if held is None else crossed.without(held)
    assert_groups(found)
    x, [(agree, disagree)] = items.head_outputs[train].double().numpy(), items.pairs
    s = signs(crossed.personas.agreements[:, items.columns[train]], 3.0).astype(float)
    for person in range(PEOPLE):
        for unit in range(TOP_K):
            layer, head = found.heads[person, unit * SIZE]
            means = x[:, :, layer, head : head + SIZE].mean(axis=2)
            raw = s @ (means[:, agree] - means[:, disagree]) / np.abs(s).sum(axis=1, keepdims=True)
            own = raw[person] - raw.mean(axis=0)
            assert np.allclose(found.theta[person, unit * SIZE], own / np.linalg.norm(own), atol=1e-5)


def test_random_directions_are_shared_by_a_group_too(crossed: CrossValidation) -> None:
    drawn, again = crossed.fitted.randomized(3), crossed.fitted.randomized(3)
    assert_groups(drawn)
    assert np.array_equal(drawn.theta, again.theta)
    assert not np.array_equal(drawn.theta[:, 0], drawn.theta[:, SIZE])
    assert np.array_equal(drawn.sigma, crossed.fitted.sigma)


def test_shuffled_answers_are_fitted_as_groups(crossed: CrossValidation) -> None:
    shuffled = DirectionSet.shuffled(crossed.directions)
    assert_groups(shuffled)
    assert not np.array_equal(shuffled.theta, crossed.fitted.theta)


def test_selection_by_steering_tries_and_takes_groups(crossed: CrossValidation, store: Path) -> None:
    made = fit_directions(
        probes=crossed.probes,
        activations=crossed.activations,
        select="steering",
        granularity="kv-group",
        alphas="10,40",
        positions="answer",
        model=crossed.handle,
        store=store,
    ).artifact
    assert made is not None
    selection = read_selection(made)
    assert selection is not None
    tried = [each["heads"] for each in selection["tried"] if each["heads"] is not None]
    for heads in (selection["heads"], *tried):
        units = np.array(heads).reshape(-1, SIZE, 2)
        assert (units[:, :, 1] == units[:, :1, 1] // SIZE * SIZE + np.arange(SIZE)).all()
    assert min(len(heads) for heads in tried) == SIZE
    lowest = min(selection["tried"], key=lambda each: each["mae"])
    assert (selection["alpha"], selection["layers"]) == (lowest["alpha"], lowest["layers"])
    found = DirectionSet.read(made)
    assert found.heads.tolist() == [selection["heads"]] * PEOPLE
    theta = found.theta.reshape(PEOPLE, -1, SIZE, found.theta.shape[-1])
    assert (theta == theta[:, :, :1]).all()
