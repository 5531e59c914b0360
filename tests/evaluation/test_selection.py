"""Which runs of layers and which heads are tried, and what is taken."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import combinations

import pytest

from pasctl.evaluation.selection import (
    Heads,
    Trial,
    best,
    count_trials,
    heads_of,
    runs_around,
    select_heads,
    select_layers,
)


@pytest.mark.parametrize(
    ("center", "n_layers", "longest"), [(0, 4, 3), (2, 6, 3), (5, 6, 3), (1, 2, 3), (0, 1, 3), (3, 9, 4)]
)
def test_runs_are_all_neighbouring_layers_with_the_center(center, n_layers, longest):
    every = [
        layers
        for size in range(2, longest + 1)
        for layers in combinations(range(n_layers), size)
        if center in layers and layers[-1] - layers[0] == size - 1
    ]
    assert sorted(runs_around(center, n_layers, longest)) == sorted(every)


def test_the_best_layer_is_found_alone_and_then_in_company():
    worth = {(4,): 0.9, (3, 4): 0.8, (3, 4, 5): 0.85, (0, 1): 0.1}
    tried = []

    def trial(layers, heads, alpha):
        tried.append((layers, alpha))
        return Trial(layers, alpha, worth.get(layers, 1.0) + abs(alpha - 2) / 100, 0.0, heads)

    found = select_layers(8, (1.0, 2.0, 4.0), trial)
    assert best(found) == Trial((3, 4), 2.0, 0.8, 0.0)
    assert [(each.layers, each.alpha) for each in found] == tried
    assert len(tried) == len(set(tried))


class Bench:
    """Trials of a made-up model: a head's worth is told, and heads together are worth what `together` says."""

    def __init__(self, worth, together=max) -> None:
        self.worth, self.together, self.made = worth, together, []

    def __call__(self, layers: tuple[int, ...], heads: Heads | None, alpha: float) -> Trial:
        self.made.append((layers, heads, alpha))
        steered = heads_of(layers, 4) if heads is None else heads
        assert {layer for layer, _ in steered} == set(layers)
        mae = 2.0 - self.together(self.worth.get(head, 0.0) for head in steered) + abs(alpha - 4) / 1000
        return Trial(layers, alpha, mae, None, heads)


def test_heads_are_ranked_alone_and_tried_in_growing_sets():
    worth = {(2, 1): 0.5, (1, 3): 0.4, (2, 0): 0.3, (1, 0): -0.2, (2, 3): -0.3}
    bench = Bench(worth, together=sum)
    whole = Trial((1, 2), 2.0, 1.3, None)
    found = select_heads(whole, 4, (2.0, 4.0), bench)
    assert [(each.layers, each.heads, each.alpha) for each in found] == bench.made
    alone, sets = found[:8], found[8:]
    assert [(each.heads, each.alpha) for each in alone] == [
        (((layer, head),), 2.0) for layer in (1, 2) for head in range(4)
    ]
    # of the heads of no worth the lowest comes first
    two, four = ((2, 1), (1, 3)), ((2, 1), (1, 3), (2, 0), (1, 1))
    assert [(each.heads, each.alpha) for each in sets] == [
        (((2, 1),), 4.0),
        (two, 2.0),
        (two, 4.0),
        (four, 2.0),
        (four, 4.0),
    ]
    assert [each.layers for each in sets] == [(2,), *[(1, 2)] * 4]
    assert best([whole, *found]) == Trial((1, 2), 4.0, pytest.approx(0.8), None, four)


def test_groups_are_tried_as_heads_are():
    """What is tried of two groups of three a layer is what is tried of two heads a layer, written out."""
    worth = {(2, 1): 0.5, (1, 0): 0.4, (1, 1): -0.2}

    def members(heads):
        return tuple((layer, 3 * head + n) for layer, head in heads for n in range(3))

    def of_groups(layers, heads, alpha):
        found = bench(layers, None if heads is None else [(layer, head // 3) for layer, head in heads[::3]], alpha)
        return replace(found, heads=heads)

    bench, whole = Bench(worth, together=sum), Trial((1, 2), 2.0, 1.3, None)
    plain = select_heads(whole, 2, (2.0, 4.0), Bench(worth, together=sum))
    found = select_heads(whole, 6, (2.0, 4.0), of_groups, size=3)
    assert [replace(each, heads=members(each.heads)) for each in plain] == found
    assert select_heads(Trial((3,), 1.0, 1.0, None), 3, (1.0, 2.0), of_groups, size=3) == []


def test_one_head_is_taken_where_it_alone_helps():
    """All heads together spoil what one of them does."""
    bench = Bench({(0, 2): 0.9}, together=min)
    whole = bench((0,), None, 4.0)
    assert best([whole, *select_heads(whole, 4, (4.0, 8.0), bench)]).heads == ((0, 2),)


def test_whole_layers_are_taken_where_some_heads_do_no_better():
    bench = Bench({(0, 2): 0.9})
    whole = bench((0,), None, 4.0)
    found = select_heads(whole, 4, (4.0,), bench)
    assert min(each.mae for each in found) == whole.mae
    assert best([whole, *found]) is whole


def test_a_single_head_is_not_tried_again():
    assert select_heads(Trial((3,), 1.0, 1.0, None), 1, (1.0, 2.0), Bench({})) == []


@pytest.mark.parametrize("n_layers", [1, 2, 3, 7])
@pytest.mark.parametrize("n_heads", [1, 2, 5, 8])
@pytest.mark.parametrize("alphas", [(4.0,), (1.0, 2.0, 4.0)])
def test_no_trial_is_made_twice_and_the_count_is_the_most_there_can_be(n_layers, n_heads, alphas):
    most = 0
    for seed in range(300):
        drawn, made = random.Random(seed), []

        def trial(layers, heads, alpha, drawn=drawn, made=made):
            made.append((layers, heads, alpha))
            return Trial(layers, alpha, drawn.random(), None, heads)

        layers = select_layers(n_layers, alphas, trial)
        heads = select_heads(best(layers), n_heads, alphas, trial)
        assert [(each.layers, each.heads, each.alpha) for each in layers + heads] == made
        assert len(set(made)) == len(made) <= count_trials(n_layers, n_heads, len(alphas))
        most = max(most, len(made))
    assert most == count_trials(n_layers, n_heads, len(alphas))


def test_of_equals_the_first_is_taken():
    assert best([Trial((layer,), 1.0, 1.0, None) for layer in range(3)]).layers == (0,)


@pytest.mark.parametrize("heads", [None, ((2, 5),), ((4, 0), (2, 5))])
def test_a_trial_comes_back_from_json(heads):
    trial = Trial((2, 4), 8.0, 1.25, None, heads)
    assert Trial.from_json(json.loads(json.dumps(trial.to_json()))) == trial
