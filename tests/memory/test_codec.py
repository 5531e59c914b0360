"""Eight-bit keys and values: error, and that rounding twice is rounding once."""

from __future__ import annotations

import pytest
import torch

from pasctl.memory.codec import dequantize, quantize, round_trip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [1, 7, 64])
def test_rounding_twice_is_rounding_once(dtype: torch.dtype, width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    for exponent in range(-45, 38):  # from below the least scale to near the largest float32
        x = (torch.randn(3, 5, width, generator=generator) * 10.0**exponent).to(dtype)
        quantized, scale = quantize(x)
        once = round_trip(x)
        again, scale_again = quantize(once)
        assert torch.equal(again, quantized)
        assert torch.equal(scale_again, scale)
        assert torch.equal(round_trip(once), once)


def test_rows_at_the_edge_of_a_power_of_two_keep_their_scale() -> None:
    for exponent in range(-60, 60):
        edge = torch.tensor(127 * 2.0**exponent)
        below, above = (torch.nextafter(edge, torch.tensor(end)) for end in (0.0, torch.inf))
        for most in (edge, below, above):
            x = torch.stack([most, -most / 3])[None]
            once = round_trip(x)
            assert torch.equal(quantize(once)[1], quantize(x)[1])
            assert torch.equal(round_trip(once), once)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_error_is_at_most_half_a_scale_of_the_row(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 11, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[1] *= 100  # another head, another scale
    quantized, scale = quantize(x)
    assert quantized.dtype == torch.int8
    assert scale.shape == (2, 3, 11, 1)
    assert torch.equal(scale, torch.exp2(torch.log2(scale).round()))
    assert bool((scale < 2 * x.float().abs().amax(-1, keepdim=True) / 127).all())
    assert bool(((dequantize(quantized, scale, torch.float32) - x.float()).abs() <= scale / 2).all())


def test_rows_of_zeros_stay_zeros() -> None:
    x = torch.zeros(2, 3, 4)
    x[1, 2] = 1.5
    assert torch.equal(round_trip(x), x)
    assert torch.isfinite(quantize(x)[1]).all()
