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

    def visit(node: TokenPlan, before: list[int]) -> None:
        shared = [*before, *node.prefix]
        for batch in node.batches:
            rows = iter(batch.rows)
            for suffix in batch.suffixes:
                stem, lasts = suffix[: len(suffix) - batch.forks], suffix[len(suffix) - batch.forks :]
                for last in lasts:
                    row = next(rows)
                    assert row not in found
                    found[row] = [*shared, *stem, last]
            assert next(rows, None) is None
        for branch in node.branches:
            visit(branch, shared)

    visit(plan, [])
    return [found[row] for row in range(count)]


def test_every_sequence_comes_back() -> None:
    for seed in range(20):
        given = sequences(seed, count=17, shared=seed)
        for own_mask in (False, True):
            assert rebuilt(plan_tokens(given, batch_tokens=60, own_mask=own_mask), 17) == given


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
    plan = plan_tokens(given, own_mask=True)
    assert plan.packed
    assert rebuilt(plan, 400) == given
    sizes = [sum(map(len, batch.suffixes)) for batch in plan.batches]
    assert max(sizes) <= PACK_TOKENS
    assert len(sizes) > 1
    assert plan.tokens_run == len(plan.prefix) + sum(sizes) <= plan_tokens(given).tokens_run
    assert not plan_tokens(given).packed
    assert not plan_tokens(sequences(4, count=40, shared=10), own_mask=True).packed


def test_packed_batches_stay_within_the_bound_too() -> None:
    given = sequences(5, count=60, shared=PACK_PREFIX)
    plan = plan_tokens(given, batch_tokens=PACK_PREFIX + 20, own_mask=True)
    assert rebuilt(plan, 60) == given
    for batch in plan.batches:
        assert len(plan.prefix) + sum(map(len, batch.suffixes)) <= PACK_PREFIX + 20
    assert {len(batch.suffixes) for batch in plan_tokens(given, batch_tokens=1, own_mask=True).batches} == {1}


def test_sequences_that_differ_in_their_last_token_are_one_row() -> None:
    stems = [[1, 2, 3], [1, 2, 4, 5], [1, 2, 6, 7]]
    given = [[*stem, last] for stem in stems for last in (8, 9, 8)]
    plan = plan_tokens(given, own_mask=True)
    assert rebuilt(plan, 9) == given
    assert [(batch.suffixes, batch.forks) for batch in plan.batches] == [
        (((3, 8, 9, 8),), 3),
        (((4, 5, 8, 9, 8), (6, 7, 8, 9, 8)), 3),
    ]
    assert plan.tokens_run == 2 + 1 + 2 + 2 + 9
    assert plan_tokens(given).tokens_run == 2 + 3 * (2 + 3 + 3)


def test_what_some_sequences_share_beyond_the_others_is_a_branch_if_it_saves_enough() -> None:
    head, one, two = [1] * 5, [2] * 30, [3] * 40
    given = [[*head, *order, 100 + item, 7] for item in range(20) for order in (one, two)]
    plan = plan_tokens(given)
    assert rebuilt(plan, 40) == given
    assert plan.prefix == tuple(head)
    assert not plan.batches
    assert [branch.prefix for branch in plan.branches] == [tuple(one), tuple(two)]
    assert plan.tokens_run == 5 + 30 + 40 + 40 * 2
    assert plan.tokens_asked == sum(map(len, given))
    few = plan_tokens(given[:4])
    assert not few.branches
    assert rebuilt(few, 4) == given[:4]


def test_copies_of_a_sequence_are_forks_and_no_reason_for_a_branch() -> None:
    given = [[1, 2, *[item] * 30, 5] for item in range(3, 6) for _ in range(40)]
    plan = plan_tokens(given, own_mask=True)
    assert not plan.branches
    assert rebuilt(plan, 120) == given
    assert plan.tokens_run == 2 + 3 * (30 + 40)
