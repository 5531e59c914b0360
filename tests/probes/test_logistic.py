"""The batched Newton fit against scikit-learn, persona by persona and head by head."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pasctl.errors import InputError
from pasctl.probes import logistic
from pasctl.probes.logistic import LogisticProbe


def scaled_rows(rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray, float]:
    """One head's rows as the docstring says they are scaled, in numpy: rows, mean, scalar RMS."""
    plain = rows.numpy()
    mean = plain.mean(axis=0)
    rms = float(np.sqrt(((plain - mean) ** 2).mean()))
    return (plain - mean) / rms, mean, rms


def problem(kind: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows [3, 80, 12], labels and usable [5, 80] of a kind of data."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, 80, 12, generator=g, dtype=torch.float64) * torch.tensor([0.01, 1.0, 30.0])[:, None, None] + 2
    usable = (torch.rand(5, 80, generator=g) < 0.8).double()
    labels = (torch.rand(5, 80, generator=g) < {"imbalanced": 0.06}.get(kind, 0.5)).double()
    labels[:, :2] = torch.tensor([0.0, 1.0], dtype=torch.float64)
    usable[:, :2] = 1
    if kind == "separable":  # a wide gap along the first feature, in every head
        rows[:, :, 0] = rows[:, :, 1:].std(dim=(1, 2))[:, None] * (20 * labels[0] - 10)
        labels[:] = labels[0]
    if kind == "correlated":  # a steep spectrum, as activations have
        rows = rows * torch.logspace(0, -4, 12, dtype=torch.float64)
    return rows, labels, usable


@pytest.mark.parametrize("kind", ["random", "separable", "imbalanced", "correlated"])
@pytest.mark.parametrize("c", [0.1, 1.0, 100.0])
def test_equals_scikit_learn_on_the_scaled_rows(kind: str, c: float) -> None:
    rows, labels, usable = problem(kind)
    weights, bias = LogisticProbe(c=c).fit(rows, labels, usable)
    for head in range(len(rows)):
        scaled, mean, rms = scaled_rows(rows[head])
        for persona in range(len(labels)):
            keep = usable[persona].numpy() > 0
            target = labels[persona].numpy()[keep]
            oracle = LogisticRegression(C=c, tol=1e-10, max_iter=100_000).fit(scaled[keep], target)
            weight = weights[persona, head].numpy()
            np.testing.assert_allclose(weight * rms, oracle.coef_[0], atol=1e-3 * np.abs(oracle.coef_).max())
            intercept = bias[persona, head].item() + weight @ mean
            assert intercept == pytest.approx(oracle.intercept_[0], abs=1e-3 * (1 + abs(oracle.intercept_[0])))
            mine = rows[head].numpy()[keep] @ weight + bias[persona, head].item() > 0
            assert np.array_equal(mine, oracle.predict(scaled[keep]) > 0)


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels, usable = problem("random")
    whole = LogisticProbe().fit(rows, labels, usable)
    monkeypatch.setattr(logistic, "TILE_BYTES", 1)
    assert logistic.tile_shape(5, 3, 80, 13) == (1, 1)
    for one, tiled in zip(whole, LogisticProbe().fit(rows, labels, usable), strict=True):
        torch.testing.assert_close(one, tiled, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("personas", "heads", "rows", "width"), [(20, 16, 240, 65), (1000, 32, 480, 129), (1, 1, 2, 3)]
)
def test_a_tile_stays_within_its_bytes(personas: int, heads: int, rows: int, width: int) -> None:
    per_heads, per_personas = logistic.tile_shape(personas, heads, rows, width)
    assert 1 <= per_heads <= heads
    assert 1 <= per_personas <= personas
    products, hessians = rows * width * (width + 1) // 2, per_personas * width * width
    assert 8 * per_heads * (products + hessians) <= max(logistic.TILE_BYTES, 2 * 8 * products)


def test_scaling_the_features_scales_the_weights_back() -> None:
    rows, labels, usable = problem("random")
    weights, bias = LogisticProbe().fit(rows, labels, usable)
    again, bias_again = LogisticProbe().fit(rows * 50 + 7, labels, usable)
    torch.testing.assert_close(again * 50, weights, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(bias_again + 7 * again.sum(dim=2), bias, rtol=1e-6, atol=1e-6)


def test_a_head_without_variance_learns_nothing() -> None:
    rows, labels, usable = problem("random")
    rows[1] = 4.0
    weights, bias = LogisticProbe().fit(rows, labels, usable)
    assert weights[:, 1].abs().max() == 0
    share = (labels * usable).sum(dim=1) / usable.sum(dim=1)
    torch.testing.assert_close(torch.sigmoid(bias[:, 1]), share, rtol=1e-6, atol=1e-6)


def test_too_few_steps_are_said() -> None:
    rows, labels, usable = problem("correlated")
    with pytest.warns(RuntimeWarning, match="15 of 15 fits did not converge in 1 steps"):
        LogisticProbe(c=100.0, max_iter=1).fit(rows, labels, usable)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticProbe(c=100.0).fit(rows, labels, usable)


@pytest.mark.parametrize("bad", [{"c": 0.0}, {"c": float("inf")}, {"max_iter": 0}, {"tol": 0.0}])
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        LogisticProbe(**bad)  # type: ignore[arg-type]
