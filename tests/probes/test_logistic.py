"""The batched truncated Newton fit against scikit-learn, persona by persona and head by head."""

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


@pytest.mark.parametrize("size", [1, 50_000])
@pytest.mark.parametrize("kind", ["random", "correlated"])
def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch, kind: str, size: int) -> None:
    """But for rounding: a thousandth of what may separate a fit from scikit-learn's."""
    rows, labels, usable = problem(kind)
    whole = LogisticProbe().fit(rows, labels, usable)
    monkeypatch.setattr(logistic, "TILE_BYTES", size)
    heads, personas = logistic.tile_shape(5, 3, 80, 13)
    assert heads * personas < 15
    for one, tiled in zip(whole, LogisticProbe().fit(rows, labels, usable), strict=True):
        torch.testing.assert_close(one, tiled, rtol=0, atol=1e-6 * float(one.abs().max()))


@pytest.mark.parametrize(
    ("personas", "heads", "rows", "width"), [(20, 16, 240, 65), (1000, 32, 480, 129), (1, 1, 2, 3)]
)
def test_a_tile_stays_within_its_bytes(personas: int, heads: int, rows: int, width: int) -> None:
    per_heads, per_personas = logistic.tile_shape(personas, heads, rows, width)
    assert 1 <= per_heads <= heads
    assert 1 <= per_personas <= personas
    logits, vectors = per_heads * per_personas * rows, per_heads * per_personas * width
    assert 8 * (4 * logits + 4 * vectors) <= logistic.TILE_BYTES  # newton() keeps s, z, p and as much besides


def test_rows_far_out_are_no_trap() -> None:
    """Of these fits, several need shorter steps, and one never ends with whole ones; the gradient is the oracle."""
    g = torch.Generator().manual_seed(284)
    rows = torch.randn(1, 20, 4, generator=g, dtype=torch.float64) / torch.rand(1, 20, 1, generator=g).double() ** 2
    labels, usable = (torch.rand(6, 20, generator=g) < 0.2).double(), torch.ones(6, 20, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights, bias = LogisticProbe(c=100.0).fit(rows, labels, usable)
    scaled, mean, rms = scaled_rows(rows[0])
    for persona in range(6):
        weight, intercept = (
            weights[persona, 0].numpy() * rms,
            bias[persona, 0].item() + weights[persona, 0].numpy() @ mean,
        )
        wrong = 1 / (1 + np.exp(-(scaled @ weight + intercept))) - labels[persona].numpy()
        assert np.abs(weight + 100 * wrong @ scaled).max() < 1e-5  # at w = 0 it is of the order of 1000
        assert abs(100 * wrong.sum()) < 1e-5


def test_conjugate_gradients_solve_each_problem_as_far_as_asked() -> None:
    g = torch.Generator().manual_seed(0)
    n_heads, n_problems, n_rows, width, c = 3, 40, 30, 8, 2.0
    a = torch.randn(n_heads, n_rows, width, generator=g) / 8
    below = 0.9 * torch.rand(n_heads, n_problems, n_rows, generator=g) / (c * (a.mT @ a).norm())
    right = torch.randn(n_heads, n_problems, width, generator=g)
    enough = 10.0 ** -torch.randint(0, 6, (n_heads, n_problems, 1), generator=g)
    enough[:, ::5] = torch.inf
    found = logistic.conjugate_gradients(a, below, right, enough, c)
    for head, problem_at in np.ndindex(n_heads, n_problems):
        rows, diagonal = a[head].double(), torch.diag(below[head, problem_at].double())
        matrix = torch.eye(width, dtype=torch.float64) - c * rows.T @ diagonal @ rows
        residual = right[head, problem_at] - matrix @ found[head, problem_at].double()
        assert residual.norm() <= enough[head, problem_at].item() + 1e-5
    assert found[:, ::5].abs().max() == 0


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
