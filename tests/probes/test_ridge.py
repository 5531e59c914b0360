"""The ridge probe against least squares on one persona's and head's rows at a time."""

import numpy as np
import pytest
import torch

from pasctl.errors import InputError
from pasctl.probes import PROBES
from pasctl.probes.ridge import RidgeProbe

H, R, D, P = 3, 60, 12, 5


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows [H, R, D] of three sizes, labels and usable [P, R]; the labels are not balanced."""
    g = torch.Generator().manual_seed(0)
    rows = torch.randn(H, R, D, generator=g, dtype=torch.float64) * torch.tensor([0.01, 1.0, 30.0])[:, None, None] + 2
    labels, usable = (torch.rand(P, R, generator=g) < 0.3).double(), (torch.rand(P, R, generator=g) < 0.7).double()
    return rows, labels, usable


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_equals_least_squares_with_the_penalty_as_rows(data: tuple, c: float) -> None:
    rows, labels, usable = data
    weights, bias = RidgeProbe(c=c).fit(rows, labels, usable)
    assert weights.shape == (P, H, D)
    assert bias.shape == (P, H)
    for p, head in np.ndindex(P, H):
        plain = rows[head].numpy()
        rms = np.sqrt(((plain - plain.mean(0)) ** 2).mean())
        target = np.array([(1 if label else -1) if use else 0 for label, use in zip(labels[p], usable[p], strict=True)])
        # the intercept's column has no row of penalty; that of w is on rows divided by the RMS
        design = np.vstack([np.column_stack([plain, np.ones(R)]), np.eye(D, D + 1) * rms / np.sqrt(c)])
        solution = np.linalg.lstsq(design, np.append(target, np.zeros(D)), rcond=None)[0]
        np.testing.assert_allclose(weights[p, head] * rms, solution[:D] * rms, atol=1e-9)
        np.testing.assert_allclose(bias[p, head], solution[D], rtol=1e-8, atol=1e-9)


def test_a_persona_does_not_depend_on_its_neighbours(data: tuple) -> None:
    rows, labels, usable = data
    together, _ = RidgeProbe().fit(rows, labels, usable)
    alone, _ = RidgeProbe().fit(rows[1:2], labels[3:4], usable[3:4])
    torch.testing.assert_close(together[3:4, 1:2], alone, rtol=1e-10, atol=1e-12)


def test_a_head_without_variance_learns_nothing(data: tuple) -> None:
    rows, labels, usable = data
    rows[1] = 4.0
    weights, _ = RidgeProbe().fit(rows, labels, usable)
    assert weights[:, 1].abs().max() == 0
    assert weights[:, [0, 2]].abs().min() > 0


def test_it_is_registered_and_refuses_a_penalty_that_makes_no_sense() -> None:
    assert PROBES.get("ridge") is RidgeProbe
    for bad in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="ridge probe: expected c > 0"):
            RidgeProbe(c=bad)
