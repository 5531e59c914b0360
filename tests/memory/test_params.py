"""Sizes of a memory for a model's context."""

from __future__ import annotations

from dataclasses import asdict

import pytest

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
