"""Buffers that grow hold what a plain concatenation holds, and leave what they began with alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from pasctl.models.kv_cache import PreallocatedLayer, SharedPrefix, TokenBuffers


@pytest.mark.parametrize("seed", range(5))
def test_buffers_are_a_concatenation_less_its_oldest_tokens(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def some(count: int) -> tuple[Tensor, Tensor]:
        return torch.randn(2, count, 3, generator=generator), torch.randn(count, generator=generator)

    begin = some(7)
    kept = [each.clone() for each in begin]
    buffers, expected = TokenBuffers(begin, [1, 0]), list(begin)
    for step in range(60):
        more = some(1 + step % 13)
        buffers.append(*more)
        expected = [torch.cat([old, new], dim=at) for old, new, at in zip(expected, more, (1, 0), strict=True)]
        if step % 4 == seed % 4:
            buffers.drop(step)
            expected = [expected[0][:, step:], expected[1][step:]]
        assert len(buffers) == len(expected[1])
        assert torch.equal(buffers[0], expected[0])
        assert torch.equal(buffers[1], expected[1])
    assert all(torch.equal(now, before) for now, before in zip(begin, kept, strict=True))


def test_a_prefix_is_followed_by_rows_that_leave_it_as_it_is() -> None:
    prefix = DynamicCache()
    layer = PreallocatedLayer((1, 2, 5, 4), torch.float32, "cpu")
    prefix.layers.append(layer)
    key, value = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    layer.update(key[:, :, :3], value[:, :, :3])
    layer.update(key[:, :, 3:], value[:, :, 3:])
    assert prefix.get_seq_length() == 5
    for rows in (1, 3):
        more = torch.randn(rows, 2, 2, 4), torch.randn(rows, 2, 2, 4)
        keys, values = SharedPrefix(prefix, rows).update(*more, 0)
        assert torch.equal(keys, torch.cat([key.expand(rows, -1, -1, -1), more[0]], dim=2))
        assert torch.equal(values, torch.cat([value.expand(rows, -1, -1, -1), more[1]], dim=2))
    assert prefix.get_seq_length() == 5
