"""L2 logistic regression of all personas and heads at once, by Newton's method."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pasctl.errors import InputError

TILE_BYTES = 32 * 2**20  # small enough that a tile is still in cache when the next step reads it; 256 MB is slower
MAX_HALVINGS = 30


@dataclass(frozen=True)
class LogisticProbe:
    """The probe of the paper: minimise 0.5 ||w||^2 + c * sum of log-losses, the intercept not penalised.

    This is scikit-learn's objective. Each head's features are first centred and divided by one scalar, the RMS of
    that head's centred features over all given rows. So `c` means the same in every head, whatever the size of its
    outputs, while the shape of the features' distribution (and with it the direction of w) is left alone. No label
    enters the scaling, and it is the same for every persona.

    Attributes:
        c: inverse strength of the penalty.
        max_iter: Newton steps at most; a fit that needs more gives a RuntimeWarning.
        tol: a fit has converged when no entry of the gradient exceeds tol * (1 + c * rows).
    """

    c: float = 1.0
    max_iter: int = 50
    tol: float = 1e-8

    def __post_init__(self) -> None:
        if not (math.isfinite(self.c) and self.c > 0):
            raise InputError(f"logistic probe: expected c > 0, found {self.c}")
        if self.max_iter < 1 or not self.tol > 0:
            raise InputError(
                f"logistic probe: expected max_iter >= 1 and tol > 0, found {self.max_iter} and {self.tol}"
            )

    def fit(self, rows: Tensor, labels: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Fit every (persona, head).

        Args:
            rows: float64 [H, R, D], shared by the personas.
            labels: float64 [P, R] in {0, 1}.
            usable: float64 [P, R] in {0, 1}; rows with 0 are left out of that persona's loss.

        Returns:
            weights float64 [P, H, D] and bias float64 [P, H], for features as given (not scaled).
        """
        (n_heads, _, dim), n_personas = rows.shape, len(labels)
        mean = rows.mean(dim=1, keepdim=True)
        centred = rows - mean
        rms = centred.square().mean(dim=(1, 2)).sqrt()
        scale = torch.where(rms > 0, rms, 1.0)  # a head without any variance learns w = 0
        scaled = F.pad(centred / scale[:, None, None], (0, 1), value=1.0)  # the intercept is the last feature
        solution = torch.empty(n_personas, n_heads, dim + 1, dtype=torch.float64)
        unconverged = 0
        per_heads, per_personas = tile_shape(n_personas, n_heads, rows.shape[1], dim + 1)
        for heads in _slices(n_heads, per_heads):
            x, products = scaled[heads], outer_products(scaled[heads])
            for personas in _slices(n_personas, per_personas):
                problems = _Problems(x, products, labels[personas], usable[personas], self.c)
                fitted, failed = newton(problems, self.max_iter, self.tol)
                solution[personas, heads] = fitted.transpose(0, 1)
                unconverged += failed
        if unconverged:
            fits = f"{unconverged} of {n_personas * n_heads} fits"
            message = f"logistic probe: {fits} did not converge in {self.max_iter} steps"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        weights = solution[..., :dim] / scale[None, :, None]
        bias = solution[..., dim] - torch.einsum("phd,hd->ph", weights, mean[:, 0])
        return weights, bias


def tile_shape(n_personas: int, n_heads: int, n_rows: int, width: int) -> tuple[int, int]:
    """(heads, personas) of a tile, such that its matrices take about TILE_BYTES, or one problem where that is more."""
    products = 8 * n_rows * width * (width + 1) // 2
    problem = 8 * (4 * width * width + 8 * n_rows)
    per_personas = max(1, min(n_personas, TILE_BYTES // 2 // problem))
    per_heads = max(1, min(n_heads, TILE_BYTES // (products + per_personas * problem)))
    return per_heads, per_personas


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


@dataclass(frozen=True, eq=False)
class _Problems:
    """The problems of one tile: every pair of H heads and P personas.

    Attributes:
        x: float64 [H, R, W], the last feature constant 1 (its weight is the intercept).
        products: `outer_products(x)`.
        labels: [P, R].
        usable: [P, R].
        c: inverse strength of the penalty.
    """

    x: Tensor
    products: Tensor
    labels: Tensor
    usable: Tensor
    c: float

    @property
    def penalty(self) -> Tensor:
        """1 for each feature's weight, 0 for the intercept, [W]."""
        return F.pad(self.x.new_ones(self.x.shape[2] - 1), (0, 1))

    @property
    def size(self) -> Tensor:
        """What the gradient is measured against, [P]."""
        return 1 + self.c * self.usable.sum(dim=1)

    def objective(self, w: Tensor, z: Tensor) -> Tensor:
        """0.5 ||w||^2 + c * log-losses, [H, P], at weights [H, P, W] and their logits z [H, P, R]."""
        loss = self.usable * (F.softplus(z) - self.labels * z)
        return 0.5 * (self.penalty * w.square()).sum(dim=2) + self.c * loss.sum(dim=2)

    def gradient(self, w: Tensor, p: Tensor) -> Tensor:
        """[H, P, W], at the probabilities p [H, P, R]."""
        return self.c * (self.usable * (p - self.labels)) @ self.x + self.penalty * w

    def newton_direction(self, gradient: Tensor, p: Tensor) -> Tensor:
        """Minus the inverse Hessian times the gradient, [H, P, W].

        The Hessian is c X' diag(p (1 - p)) X plus the penalty. All personas share X, so each is a weighted sum of the
        same outer products x x': of one head, all personas' are one matrix product [P, R] @ [R, W(W+1)/2].
        """
        width = self.x.shape[2]
        row, column = torch.tril_indices(width, width)
        hessian = self.x.new_zeros(*p.shape[:2], width, width)
        hessian[:, :, column, row] = self.c * (self.usable * p * (1 - p)) @ self.products
        # where all rows are sure the intercept's entry vanishes: a trace of damping keeps the matrix definite
        damping = self.penalty + 1e-10 * self.size[:, None] * (1 - self.penalty)
        hessian.diagonal(dim1=2, dim2=3).add_(damping)
        factor = torch.linalg.cholesky(hessian.mT)  # reads the lower triangle; LAPACK wants contiguous columns
        return -torch.cholesky_solve(gradient[..., None], factor)[..., 0]


def outer_products(x: Tensor) -> Tensor:
    """The lower triangles of x x' for each row of x: [H, R, W] -> [H, R, W(W+1)/2], in the order of `tril_indices`."""
    n_heads, n_rows, width = x.shape
    products = x.new_empty(n_heads, n_rows, width * (width + 1) // 2)
    start = 0
    for feature in range(width):  # one slice a feature: gathering by index takes five times as long
        stop = start + feature + 1
        torch.mul(x[:, :, feature, None], x[:, :, : feature + 1], out=products[:, :, start:stop])
        start = stop
    return products


def newton(problems: _Problems, max_iter: int, tol: float) -> tuple[Tensor, int]:
    """Damped Newton steps until every problem has converged.

    Each step is halved until the objective falls by enough (Armijo's rule), so it converges from any start.

    Returns:
        w float64 [H, P, W] and the number of problems that did not converge in `max_iter` steps.
    """
    x = problems.x
    w = x.new_zeros(len(x), len(problems.labels), x.shape[2])
    z = x.new_zeros(len(x), len(problems.labels), x.shape[1])
    for step in range(max_iter + 1):
        p = torch.sigmoid(z)
        gradient = problems.gradient(w, p)
        unconverged = gradient.abs().amax(dim=2) > tol * problems.size
        if step == max_iter or not bool(unconverged.any()):
            break
        direction = problems.newton_direction(gradient, p)
        slope = direction @ x.transpose(1, 2)  # of the logits along the step, so that halving costs no product
        before, descent = problems.objective(w, z), (gradient * direction).sum(dim=2)
        size = unconverged.double()  # the others stay where they are: no result depends on its neighbours in the tile
        for _ in range(MAX_HALVINGS):
            after = problems.objective(w + size[..., None] * direction, z + size[..., None] * slope)
            # the last term forgives rounding: at the optimum the objective cannot fall any more
            too_far = after > before + 1e-4 * size * descent + 1e-13 * before.abs()
            if not bool(too_far.any()):
                break
            size = torch.where(too_far, size / 2, size)
        w, z = w + size[..., None] * direction, z + size[..., None] * slope
    return w, int(unconverged.sum())
