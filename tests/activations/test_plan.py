"""A token plan covers every sequence once, shares what all share, and pads nothing."""

from __future__ import annotations

import numpy as np

from pasctl.activations.plan import PACK_PREFIX, PACK_TOKENS, TokenPlan, plan_tokens


def sequences(seed: int, count: int, shared: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    prefix = generator.integers(0, 50, shared).tolist()
    return [prefix + generator.integers(0, 3, generator.integers(1, 7)).tolist() for _ in range(count)]


def rebuilt(plan: TokenPlan, count: int) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for batch in plan.batches:
        for row, suffix in zip(batch.rows, batch.suffixes, strict=True):
            assert row not in found
            found[row] = [*plan.prefix, *suffix]
    return [found[row] for row in range(count)]


def test_every_sequence_comes_back() -> None:
    for seed in range(20):
        given = sequences(seed, count=17, shared=seed)
        assert rebuilt(plan_tokens(given, batch_tokens=60), 17) == given


def test_batches_have_one_length_and_stay_within_the_bound() -> None:
    given = sequences(3, count=40, shared=10)
    plan = plan_tokens(given, batch_tokens=64)
    for batch in plan.batches:
        assert len({len(suffix) for suffix in batch.suffixes}) == 1
        assert len(batch.rows) == 1 or len(batch.rows) * (len(plan.prefix) + len(batch.suffixes[0])) <= 64


def test_a_sequence_longer_than_the_bound_runs_alone() -> None:
    plan = plan_tokens([[1] * 100, [1] * 100], batch_tokens=10)
    assert [len(batch.rows) for batch in plan.batches] == [1, 1]


def test_the_prefix_is_the_longest_that_leaves_every_sequence_a_token() -> None:
    assert plan_tokens([[1, 2, 3], [1, 2, 4, 5]]).prefix == (1, 2)
    assert plan_tokens([[1, 2, 3], [1, 2, 3]]).prefix == (1, 2)
    assert plan_tokens([[1, 2, 3], [1, 2, 3, 4]]).prefix == (1, 2)
    assert plan_tokens([[1], [2]]).prefix == ()
    assert plan_tokens([[1, 2, 3]]).prefix == ()


def test_tokens_are_counted() -> None:
    plan = plan_tokens([[1, 2, 3], [1, 2, 4, 5], [1, 2, 6]])
    assert plan.tokens_asked == 10
    assert plan.tokens_run == 2 + 1 + 2 + 1


def test_a_long_prefix_is_packed_where_the_model_allows_it() -> None:
    given = sequences(4, count=400, shared=PACK_PREFIX + 10)
    plan = plan_tokens(given, may_pack=True)
    assert plan.packed
    assert rebuilt(plan, 400) == given
    sizes = [sum(map(len, batch.suffixes)) for batch in plan.batches]
    assert max(sizes) <= PACK_TOKENS
    assert len(sizes) > 1
    assert plan.tokens_run == len(plan.prefix) + sum(sizes) == plan_tokens(given).tokens_run
    assert not plan_tokens(given).packed
    assert not plan_tokens(sequences(4, count=40, shared=10), may_pack=True).packed


def test_packed_batches_stay_within_the_bound_too() -> None:
    given = sequences(5, count=60, shared=PACK_PREFIX)
    plan = plan_tokens(given, batch_tokens=PACK_PREFIX + 20, may_pack=True)
    assert rebuilt(plan, 60) == given
    for batch in plan.batches:
        assert len(plan.prefix) + sum(map(len, batch.suffixes)) <= PACK_PREFIX + 20
    assert [len(batch.rows) for batch in plan_tokens(given, batch_tokens=1, may_pack=True).batches] == [1] * 60
