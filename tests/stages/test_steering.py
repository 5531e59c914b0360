"""The controls beside a persona's directions: random ones, and those of its own answers in another order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.directions import DIRECTIONS
from pasctl.directions.fit import fit_directions as fit
from pasctl.errors import InputError
from pasctl.inventory import PersonaSet, builtin_inventory, load_personas, signs
from pasctl.probes.split import split_items
from pasctl.stages.direction_shards import shuffle_answers
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.job import Job, Stage
from pasctl.stages.runner import Artifact, Store, run_job
from pasctl.stages.steering import DirectionSet
from pasctl.stages.train_probes import read_fit_items, train_probes
from tests.tiny import HEADS, LAYERS, tiny_loaded

EVERY = LAYERS * HEADS


def some_directions(people: int = 3, heads: int = 5, size: int = 7) -> DirectionSet:
    rng = np.random.default_rng(8)
    theta = rng.standard_normal((people, heads, size))
    personas = PersonaSet("made", tuple(f"p{each}" for each in range(people)), np.full((people, 4), 4.0))
    places = np.tile(np.stack([np.arange(heads) // 3, np.arange(heads) % 3], axis=1), (people, 1, 1))
    theta /= np.linalg.norm(theta, axis=2, keepdims=True)
    return DirectionSet(
        personas, places, theta.astype(np.float32), rng.random((people, heads), np.float32).astype(np.float32)
    )


def test_the_first_draw_of_random_directions_is_the_one_that_stores_hold_answers_of():
    known = some_directions()
    noise = np.random.default_rng([11, 1]).standard_normal(known.theta.shape)
    wanted = (noise / np.sqrt((noise**2).sum(axis=2, keepdims=True))).astype(np.float32)
    for drawn in (known.randomized(11), known.randomized(11, draw=0)):
        np.testing.assert_allclose(drawn.theta, wanted, rtol=1e-6)
        assert [drawn.digest(person) for person in range(3)] == [
            known.randomized(11).digest(person) for person in range(3)
        ]


def test_draws_of_random_directions_are_unit_vectors_that_are_unlike():
    known = some_directions(people=4, heads=6, size=64)
    draws = [known.randomized(seed, draw) for seed in (0, 1) for draw in range(3)]
    for drawn in draws:
        np.testing.assert_allclose(np.linalg.norm(drawn.theta, axis=2), 1.0, rtol=1e-5)
        assert np.array_equal(drawn.heads, known.heads)
        assert np.array_equal(drawn.sigma, known.sigma)
    every = np.stack([known.theta, *(drawn.theta for drawn in draws)]).reshape(-1, 64)
    cosines = np.abs(every @ every.T)[np.triu_indices(len(every), 1)]
    # of unrelated directions in 64 dimensions the cosine has a spread of 1/8
    assert cosines.max() < 0.7
    assert cosines.mean() < 0.15


def test_heads_are_taken_out_in_the_order_asked_for():
    known = some_directions()
    taken = known.of_heads([(1, 1), (0, 2)])
    assert taken.heads.tolist() == [[[1, 1], [0, 2]]] * 3
    assert np.array_equal(taken.theta, known.theta[:, [4, 2]])
    assert np.array_equal(taken.sigma, known.sigma[:, [4, 2]])


def answered(seed: int, people: int = 6, items: int = 40) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 6, (people, items)).astype(np.float64)
    values[rng.random(values.shape) < 0.2] = np.nan
    return values, tuple(f"case {each}" for each in range(people))


def test_shuffled_answers_are_the_same_ones_at_other_items():
    values, ids = answered(3)
    before = values.copy()
    values.flags.writeable = False
    found = shuffle_answers(values, ids, 0)
    assert np.array_equal(np.isnan(found), np.isnan(values))
    for row, real in zip(found, values, strict=True):
        assert not np.array_equal(row, real, equal_nan=True)
        assert np.array_equal(np.sort(row), np.sort(real), equal_nan=True)
    assert np.array_equal(values, before, equal_nan=True)


def test_a_persona_is_shuffled_by_the_seed_and_its_name_whoever_else_is_there():
    values, ids = answered(4)
    whole = shuffle_answers(values, ids, 5)
    for person in (4, 1):
        alone = shuffle_answers(values[[person]], [ids[person]], 5)
        assert np.array_equal(alone[0], whole[person], equal_nan=True)
        for name, seed in ((ids[person], 6), ("somebody else", 5)):
            assert not np.array_equal(shuffle_answers(values[[person]], [name], seed)[0], alone[0], equal_nan=True)
    twins = shuffle_answers(values[[0, 0]], ["a", "b"], 5)
    assert not np.array_equal(twins[0], twins[1], equal_nan=True)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("extracted")
    extract(tiny_loaded(), store=store)
    return store


def fitted(store: Path, personas: str | PersonaSet, **options: Any) -> Artifact:
    probes = train_probes(personas=personas, store=store).artifact
    made = fit_directions(probes=probes, store=store, **{"top_k": EVERY, **options}).artifact
    assert made is not None
    return made


@pytest.mark.integration
@pytest.mark.parametrize("center", ["none", "population"])
def test_the_control_is_the_fit_of_shuffled_answers_in_the_same_heads(extracted, center):
    made = fitted(extracted, "builtin:0-3", top_k=5, center=center, seed=2)
    real, control = DirectionSet.read(made), DirectionSet.shuffled(made)
    assert np.array_equal(control.heads, real.heads)
    assert np.array_equal(control.personas.agreements, real.personas.agreements)
    items = read_fit_items(Store(extracted).resolve(made.inputs["activations"].key, "activations"))
    answers = load_personas("builtin:0-3", builtin_inventory()).agreements[:, items.columns]
    wanted = fit(
        items.head_outputs,
        items.pairs,
        signs(shuffle_answers(answers, real.personas.ids, 2), 3.0),
        real.heads,
        DIRECTIONS.get("mass-mean")(),
        center,
    )
    np.testing.assert_allclose(control.theta, wanted.theta, atol=1e-6)
    np.testing.assert_allclose(control.sigma, wanted.sigma, rtol=1e-6)
    assert not np.allclose(control.theta, real.theta, atol=0.05)


@pytest.mark.integration
def test_a_personas_control_is_the_same_in_other_company_and_another_with_another_seed(extracted):
    """Centred on nobody, so that a persona's own answers are all that its directions come from."""
    many, few = fitted(extracted, "builtin:0-4"), fitted(extracted, "builtin:2-4")
    other = fitted(extracted, "builtin:2-4", seed=1)
    ours, theirs, again = (DirectionSet.shuffled(each) for each in (many, few, other))
    for place, name in enumerate(theirs.personas.ids):
        before = ours.personas.ids.index(name)
        # heads are in the order of the persona's own probes, the same in both
        assert np.array_equal(ours.heads[before], theirs.heads[place])
        np.testing.assert_allclose(ours.theta[before], theirs.theta[place], atol=1e-6)
        np.testing.assert_allclose(ours.sigma[before], theirs.sigma[place], rtol=1e-5)
    assert not np.allclose(theirs.theta, again.theta, atol=0.05)
    assert np.array_equal(DirectionSet.read(few).theta, DirectionSet.read(other).theta)


@pytest.mark.integration
def test_where_shuffled_answers_give_no_direction_the_control_shifts_nothing(extracted):
    """Two people answered two items each other's way; shuffled they answer alike, and nothing is left when centred."""
    inventory = builtin_inventory()
    fit_items = inventory.indices("fit")
    held = split_items([inventory.items[place].trait for place in fit_items], 0.25, 0)
    # probes want an answer to train on and one to validate on
    first, second = fit_items[np.flatnonzero(~held)[0]], fit_items[np.flatnonzero(held)[0]]
    agreements = np.full((2, len(inventory.items)), np.nan)
    agreements[:, [first, second]] = [[5, 1], [1, 5]]
    ids = ("yes-no", "no-yes")
    pair = PersonaSet("pair", ids, agreements)
    alike = [seed for seed in range(8) if np.ptp(shuffle_answers(agreements, ids, seed)[:, first]) == 0]
    apart = [seed for seed in range(8) if seed not in alike]
    nothing = DirectionSet.shuffled(fitted(extracted, pair, center="population", seed=alike[0]))
    assert not nothing.theta.any()
    assert not nothing.sigma.any()
    something = DirectionSet.shuffled(fitted(extracted, pair, center="population", seed=apart[0]))
    assert (something.sigma > 0).all()


@pytest.mark.integration
def test_directions_of_an_earlier_version_have_no_control_and_say_how_to_get_it(extracted):
    made = fitted(extracted, "builtin:0-2")
    payload = {
        "directions.safetensors": made.read_arrays("directions.safetensors"),
        "personas.json": made.read_json("personas.json"),
        "items.json": made.read_json("items.json"),
    }
    earlier = run_job(
        Store(extracted),
        Job(
            stage=Stage("fit-directions", "directions", 1),
            model=made.model,
            label=made.label,
            params=made.params,
            inputs={},
            identity=made.document["model"],
            numerics={"seed": 0},
            compute=lambda work: payload,
        ),
    ).artifact
    assert DirectionSet.read(earlier).digest(0) == DirectionSet.read(made).digest(0)
    with pytest.raises(InputError, match="no directions of shuffled answers, an earlier version") as caught:
        DirectionSet.shuffled(earlier)
    assert "pasctl fit-directions" in caught.value.hint
