"""A plan keeps to a memory limit: batches shrink, nothing else changes, and what cannot be kept is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pasctl.activations.budget import FEWEST, plan_bytes, plan_within
from pasctl.activations.extract import extract_head_outputs
from pasctl.activations.plan import TokenPlan, plan_tokens
from pasctl.errors import InputError
from pasctl.models.footprint import Footprint, parse_size, read_sizes, text_rows
from pasctl.models.geometry import Geometry
from tests.activations.test_forward import TOLERANCE, naive_head_outputs, some_sequences
from tests.tiny import FAMILIES, tiny_loaded

GEOMETRY = Geometry(layers=3, heads=6, kv_heads=2, head_dim=16, hidden=48)


def footprint(limit: int | None = None) -> Footprint:
    """Of a model that is nothing but activations: no weights, and not on the host."""
    sizes = dataclasses.replace(read_sizes(tiny_loaded().model, stored=4), parameters=0, largest=0)
    return Footprint(GEOMETRY, sizes, itemsize=4, on_host=False, limit=limit)


def passes(plan: TokenPlan) -> list[int]:
    """Tokens of each forward pass, prefixes aside."""
    own = [sum(map(len, batch.suffixes)) for batch in plan.batches]
    return own + [tokens for branch in plan.branches for tokens in passes(branch)]


@pytest.mark.parametrize("shared", [0, 12, 300])
def test_a_lower_limit_makes_smaller_batches_of_the_same_sequences(shared: int) -> None:
    given = some_sequences(shared, count=200)
    free = plan_within(footprint(), given, batch_tokens=16_384, own_mask=True)
    most = plan_bytes(footprint(), free)
    limited = footprint(int(0.6 * most))
    plan = plan_within(limited, given, batch_tokens=16_384, own_mask=True)
    assert plan_bytes(limited, plan) <= 0.6 * most
    assert max(passes(plan)) < max(passes(free))
    assert sum(passes(plan)) == sum(passes(free))
    assert plan_within(footprint(most), given, batch_tokens=16_384, own_mask=True) == free


def test_a_limit_that_cannot_be_kept_is_refused_with_what_is_needed() -> None:
    given = some_sequences(300, count=50)
    least = plan_bytes(footprint(), plan_tokens(given, batch_tokens=FEWEST, own_mask=True))
    with pytest.raises(InputError, match=rf"limited to 0\.00 GB.*at least {least / 1e9:.2f} GB"):
        plan_within(footprint(1000), given, batch_tokens=16_384, own_mask=True)
    with pytest.raises(InputError, match="at least"):
        text_rows(footprint(1000), 400, 16_384)


def test_texts_share_a_batch_as_far_as_tokens_and_memory_allow() -> None:
    assert text_rows(footprint(), 100, 16_384) == 163
    assert text_rows(footprint(), 20_000, 16_384) == 1
    one = footprint().keys_and_values(100) + footprint().forward(1, 100, 0) + footprint().logits(1)
    assert 1 <= text_rows(footprint(10 * one), 100, 16_384) <= 10


def test_a_prefix_is_held_while_everything_behind_it_runs() -> None:
    """Keys and values of 500 shared tokens: 3 layers, 2 heads of 16, two of each, 4 bytes."""
    given = some_sequences(500, count=3)
    apart = [sequence[500:] for sequence in given]
    bytes_of = [
        plan_bytes(footprint(), plan_tokens(sequences, batch_tokens=64, own_mask=True)) for sequences in (given, apart)
    ]
    assert bytes_of[0] - bytes_of[1] >= 500 * 3 * 2 * 16 * 2 * 4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_read_in_pieces_changes_no_head_output(family: str) -> None:
    model = tiny_loaded(family)
    given = some_sequences(300)
    found = extract_head_outputs(model, given, batch_tokens=70).head_outputs
    for each, sequence in zip(found, given, strict=True):
        torch.testing.assert_close(each, naive_head_outputs(model, sequence), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize(
    ("text", "size"), [("6GB", 6 * 10**9), ("1.5 GiB", 3 << 29), ("800mb", 8 * 10**8), ("12", 12), (7, 7), (None, None)]
)
def test_sizes(text: str | int | None, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "-3GB", "0", "3TBB", 0, -1])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(InputError, match="memory"):
        parse_size(text)
