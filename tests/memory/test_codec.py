"""Eight-bit keys and values: error, and that rounding twice is rounding once."""

from __future__ import annotations

import pytest
import torch

from pasctl.memory.codec import common_part, dequantize, quantize, round_trip


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.0, 1.0, 40.0, 900.0, 3e4])
def test_with_an_offset_rounding_twice_is_rounding_once_whatever_the_first_rows_were(
    dtype: torch.dtype, size: float
) -> None:
    draw = torch.Generator().manual_seed(int(size))
    common = size * torch.randn(3, 1, 64, generator=draw) * (torch.rand(3, 1, 64, generator=draw) < 0.1)
    for exponent in range(-5, 4):
        x = (common + 10.0**exponent * torch.randn(3, 200, 64, generator=draw)).to(dtype)
        x[:, 7] *= 30  # a row that has little in common with the others
        x = x.clamp(-6e4, 6e4)
        for offset in (common_part(x), common_part(x[:, :1]), common, torch.zeros(3, 1, 64)):
            quantized, scale = quantize(x, offset)
            once = dequantize(quantized, scale, dtype, offset)
            assert int(quantized.abs().max()) <= 127
            assert torch.equal(once.float(), dequantize(quantized, scale, torch.float64, offset).float())
            assert torch.equal(round_trip(once, offset), once)
            assert bool(((once.double() - x.double()).abs() <= scale / 2).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_all_rows_have_in_common_costs_no_bits(dtype: torch.dtype) -> None:
    """A scale is at most that of the rows without it, but for the half of one that the offset is rounded by."""
    draw = torch.Generator().manual_seed(0)
    common, own = 300 * torch.randn(2, 1, 64, generator=draw), torch.randn(2, 500, 64, generator=draw)
    x = (common + own).to(dtype)
    offset = common_part(x)
    scale = quantize(x, offset)[1]
    assert bool((scale <= 2 * quantize(x.float() - offset)[1]).all())
    assert bool((quantize(x)[1] > 50 * scale).all())
    assert float((scale / quantize(x.float() - offset)[1]).mean()) < 1.1
