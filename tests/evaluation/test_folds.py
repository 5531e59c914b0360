"""Folds over items: sizes, the spread of each kind of item, and what they depend on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.folds import stratified_folds

# 30 facets of 4 items, the traits in turn: as PAPI's items to fit on lie
PAPI_LIKE = [(trait, f"facet {trait}{number}") for _ in range(4) for number in range(6) for trait in "NEOAC"]
UNEVEN = ["a"] * 7 + ["b"] * 2 + ["c"] + ["d"] * 11 + [("a", "tuple")] * 3


def spread(counts: np.ndarray) -> int:
    return int(counts.max() - counts.min())


@pytest.mark.parametrize("folds", [2, 3, 4, 5, 7, 24])
@pytest.mark.parametrize("strata", [PAPI_LIKE, UNEVEN])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_folds_and_their_share_of_each_stratum_differ_by_at_most_one_item(strata, folds, seed) -> None:
    found = stratified_folds(strata, folds, seed)
    assert found.dtype == np.int64
    assert set(found) == set(range(folds))
    assert spread(np.bincount(found, minlength=folds)) <= 1
    for stratum in set(strata):
        of_stratum = found[[other == stratum for other in strata]]
        assert spread(np.bincount(of_stratum, minlength=folds)) <= 1


@pytest.mark.parametrize("folds", [3, 5, 7])
def test_a_trait_is_spread_as_evenly_as_its_facets(folds) -> None:
    """With 5 folds and 4 items a facet, dealing in the order of the items would leave a trait out of a fold."""
    found = stratified_folds(PAPI_LIKE, folds, seed=3)
    for trait in "OCEAN":
        of_trait = found[[stratum[0] == trait for stratum in PAPI_LIKE]]
        assert spread(np.bincount(of_trait, minlength=folds)) <= 1


def test_the_seed_shuffles_within_strata() -> None:
    assert np.array_equal(stratified_folds(PAPI_LIKE, 5, 8), stratified_folds(PAPI_LIKE, 5, 8))
    assert not np.array_equal(stratified_folds(PAPI_LIKE, 5, 8), stratified_folds(PAPI_LIKE, 5, 9))
    # an item comes to lie in each fold about equally often
    of_first = Counter(int(stratified_folds(["a"] * 10, 5, seed)[0]) for seed in range(500))
    assert all(70 <= of_first[fold] <= 130 for fold in range(5))


def test_as_many_folds_as_items_leave_out_one_at_a_time() -> None:
    assert sorted(stratified_folds(UNEVEN, len(UNEVEN), 0)) == list(range(len(UNEVEN)))


@pytest.mark.parametrize(("folds", "found"), [(1, "found 1"), (0, "found 0"), (-2, "found -2"), (4, "3, found 4")])
def test_folds_that_cannot_be_had_are_refused_in_one_line(folds, found) -> None:
    with pytest.raises(InputError, match=found) as caught:
        stratified_folds(["a", "b", "b"], folds, 0)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
