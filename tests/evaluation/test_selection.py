"""Which runs of layers are tried, and which is taken."""

from __future__ import annotations

from itertools import combinations

import pytest

from pasctl.evaluation.selection import Trial, best, count_trials, runs_around, select_layers


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

    def trial(layers, alpha):
        tried.append((layers, alpha))
        return Trial(layers, alpha, worth.get(layers, 1.0) + abs(alpha - 2) / 100, 0.0)

    found = select_layers(8, (1.0, 2.0, 4.0), trial)
    assert best(found) == Trial((3, 4), 2.0, 0.8, 0.0)
    assert [(each.layers, each.alpha) for each in found] == tried
    assert len(tried) == len(set(tried)) == count_trials(8, 3)


def test_of_equals_the_first_is_taken():
    assert best([Trial((layer,), 1.0, 1.0, None) for layer in range(3)]).layers == (0,)
