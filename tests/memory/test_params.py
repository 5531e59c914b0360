"""Sizes of a memory for a model's context."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from pasctl.errors import InputError
from pasctl.memory.params import MemoryParams

SIZES = ("n_init", "n_local", "n_mem", "chunk")


@pytest.mark.parametrize("context", [512, 1024, 2048, 4096, 8192, 40960])
def test_what_one_pass_attends_fits_in_the_context_and_half_of_it_is_used(context):
    params = MemoryParams.for_context(context)
    attended = sum(getattr(params, name) for name in SIZES)
    assert attended <= context
    assert attended > context / 2 or params == MemoryParams()


def test_what_is_given_stays_and_a_model_that_does_not_say_gets_the_defaults():
    assert MemoryParams.for_context(None) == MemoryParams()
    assert MemoryParams.for_context(512, n_mem=300).n_mem == 300
    halved = asdict(MemoryParams.for_context(4096))
    assert {name: halved[name] * 2 for name in SIZES} == {name: getattr(MemoryParams(), name) for name in SIZES}


@pytest.mark.parametrize("context", [1, 64, 200])
def test_the_smallest_sizes_are_valid_ones(context):
    assert MemoryParams.for_context(context).max_block == 32


@pytest.mark.parametrize(
    "given",
    [
        *({"n_local": size} for size in (8, 40, 100, 256, 512, 1024, 9000)),
        *({"chunk": size} for size in (1, 64, 2048, 8192)),
        *({"max_block": size} for size in (2, 4, 20, 512, 4096)),
        *({"n_mem": size} for size in (0, 3, 64, 5000)),
        *({"n_init": size} for size in (0, 4, 5000)),
        *({"min_block": size} for size in (1, 64, 300)),
        {"n_local": 512, "n_mem": 512},
        {"n_local": 300, "chunk": 200},
        {"n_local": 64, "max_block": 24},
    ],
)
@pytest.mark.parametrize("context", [None, 512, 8192])
def test_sizes_that_are_not_given_follow_those_that_are(given, context):
    params = MemoryParams.for_context(context, **given)
    assert {name: getattr(params, name) for name in given} == given


def test_sizes_that_need_not_move_stay():
    assert MemoryParams.for_context(None, n_local=1024) == MemoryParams(n_local=1024)
    half = MemoryParams.for_context(None, n_local=512)
    assert (half.chunk, half.max_block, half.min_block, half.n_mem) == (256, 64, 8, 2048)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"n_local": 100, "chunk": 200}, "n_local is 100, expected at least"),
        ({"n_mem": 3, "max_block": 64}, "n_mem is 3"),
        ({"max_block": 10, "min_block": 8}, "max_block is 10, expected at least twice"),
        ({"n_local": 0}, "n local: expected at least 1"),
        ({"n_mem": -1}, "n mem: expected at least 0"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"gamma": float("inf")}, "gamma is inf"),
        ({"contiguity": float("nan")}, "contiguity is nan"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(given, reason):
    with pytest.raises(InputError, match=reason):
        MemoryParams.for_context(8192, **given)
