"""Vectors in eight bits: the bound of what rounding changes, and files that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.rounded import Rounded


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("width", "size"), [(64, 16), (80, 16), (24, 12), (12, 12), (17, 1)])
@pytest.mark.parametrize("common", [0.0, 900.0])
def test_a_component_moves_by_less_than_half_a_percent_of_the_largest_of_its_group(
    width: int, size: int, common: float
) -> None:
    own = drawn(500, 3, width) * torch.logspace(-6, 6, 500)[:, None, None]
    offset = common * drawn(3, width, seed=1)
    vectors = own + offset
    kept = Rounded.of(vectors, offset)
    assert kept.scale.shape == (500, 3, width // size)
    exact = vectors.double() - offset.double()
    largest = exact.abs().unflatten(-1, (-1, size)).amax(-1).repeat_interleave(size, -1)
    assert ((kept.values() - exact).abs() <= 0.00402 * largest).all()


def test_zeros_stay_zeros() -> None:
    kept = Rounded.of(torch.ones(4, 2, 16), torch.ones(2, 16))
    assert not kept.values().any()


def test_files_hold_the_same_and_leave_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = Rounded.of(drawn(300, 2, 64), torch.zeros(2, 64))
    mapped = kept.on_disk()
    assert not list(tmp_path.iterdir())
    assert torch.equal(mapped.values(), kept.values())
    assert torch.equal(mapped[torch.tensor([7, 299])].steps, kept.steps[[7, 299]])


def test_a_folder_that_takes_no_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"cannot be kept in the folder for temporary files: .*gone"):
        Rounded.of(drawn(3, 2, 64), torch.zeros(2, 64)).on_disk()
