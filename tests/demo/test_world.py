from __future__ import annotations

import numpy as np

from pasctl.inventory import load_personas
from pasctl.inventory.simulate import CLEAR, DEMO_SEED
from tests.demo.builder.world import TRAINING_SEEDS, describe, draw_people, inventory


def demo():
    return load_personas("demo", inventory())


def test_people_of_different_seeds_are_different_and_a_seed_gives_the_same_again():
    test, other = demo().agreements, draw_people(60, TRAINING_SEEDS).agreements
    assert not (test[:, None] == other[None]).all(axis=2).any()
    assert (test == demo().agreements).all()


def test_personas_are_the_people_of_the_same_seed():
    assert (draw_people(60, DEMO_SEED).agreements == demo().agreements).all()


def test_items_are_alike_and_both_keys_are_used():
    assert CLEAR.discrimination_spread == CLEAR.threshold_spread == CLEAR.facet_share == 0
    keys = inventory().keys
    assert (keys > 0).sum() == (keys < 0).sum()


def test_keyed_answers_follow_the_trait_and_nobody_is_told_by_agreeing():
    people = draw_people(2000, 3)
    keyed = np.where(inventory().keys > 0, people.agreements, 6 - people.agreements)
    for place, trait in enumerate("OCEAN"):
        columns = [column for column, item in enumerate(inventory().items) if item.trait == trait]
        assert np.corrcoef(people.traits[:, place], keyed[:, columns].mean(axis=1))[0, 1] > 0.9
    assert abs(people.agreements.mean() - 3) < 0.02


def test_words_name_the_clear_traits_only():
    text = describe(np.array([0.0, -2.0, 2.0, 0.1, 0.0]), np.random.default_rng(0))
    assert text.count("You are") == 2
    assert any(word in text for word in ("outgoing", "talkative", "lively"))
    assert any(word in text for word in ("careless", "messy", "unreliable"))
    assert describe(np.zeros(5), np.random.default_rng(0)) == ""
