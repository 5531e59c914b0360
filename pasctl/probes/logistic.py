"""L2 logistic regression of all personas and heads at once: Newton's method with conjugate gradients.

For one persona and head, with rows x_r (the last feature is the constant 1), signs s_r in {-1, 0, 1} (0: no opinion)
and K = diag(1, ..., 1, 0), the probe is

    min over w of  0.5 w'Kw - c sum_r log p_r,    p_r = 1 / (1 + exp(-s_r x_r'w))

where a row without an opinion adds a constant. The Hessian is K + c X' diag(s^2 p (1 - p)) X. Only p and s tell
personas apart, and p (1 - p) <= 1/4, so B = K + c k X'X with a fixed k is near every persona's Hessian (D. Böhning and
B. G. Lindsay, "Monotonicity of quadratic-approximation algorithms", Annals of the Institute of Statistical Mathematics
40, 1988, take k = 1/4). One factor a head, B = LL', gives coordinates v = L'w and rows A = X inv(L'), in which B is the
identity and K is I - c k A'A. With z = Av, the logits,

    objective  0.5 |v|^2 - c sum_r (log p_r + 0.5 k z_r^2)
    gradient   v - c A'(s (1 - p) + k z)
    Hessian    I - c A' diag(k - s^2 p (1 - p)) A

so each takes products of all personas' vectors with A, and no persona needs a matrix of its own. The Hessian is near
the identity, so a few conjugate gradients give a Newton step (the truncated Newton method: R. S. Dembo and T. Steihaug,
"Truncated-Newton algorithms for large-scale unconstrained optimization", Mathematical Programming 26, 1983). They run
in float32: an inexact step costs a further step at worst, for the gradient that decides about the end is float64.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pasctl.errors import InputError
from pasctl.probes.scaling import scale_rows

CURVATURE = 1 / 16  # k: p (1 - p) of a row that is fitted well, p = 0.93; fewer steps than with the bound 1/4
COARSEST_STEP = 0.25  # a Newton step's residual against its gradient, at most; it falls with the gradient's root
FINEST_STEP = 1e-5  # and at least: float32 gives no more
DROPPED_BELOW = 0.7  # conjugate gradients copy what is still at work once it is less than this share of the batch
FLOAT32_STEPS = 15  # a problem that needs more Newton steps is so badly conditioned that these are of float64
MAX_HALVINGS = 30
TILE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class LogisticProbe:
    """The probe of the paper: minimise 0.5 ||w||^2 + c * sum of log-losses, the intercept not penalised.

    This is scikit-learn's objective, on features scaled by `ScaledRows`. A fit depends on the personas and heads
    beside it by rounding only, which moves the weights by less than `tol` allows.

    Attributes:
        c: inverse strength of the penalty.
        max_iter: Newton steps at most; a fit that needs more gives a RuntimeWarning.
        tol: a fit has converged when no entry of the gradient exceeds tol * c * rows.
    """

    c: float = 1.0
    max_iter: int = 50
    tol: float = 1e-9

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
        (n_heads, n_rows, dim), n_personas = rows.shape, len(labels)
        scaled = scale_rows(rows)
        signs = (2 * labels - 1) * usable
        solution = torch.empty(n_personas, n_heads, dim + 1, dtype=torch.float64)
        unconverged = 0
        per_heads, per_personas = tile_shape(n_personas, n_heads, n_rows, dim + 1)
        for heads in _slices(n_heads, per_heads):
            x = F.pad(scaled.rows[heads], (0, 1), value=1.0)
            factor = torch.linalg.cholesky(_fixed_curvature(x, self.c))
            a = torch.linalg.solve_triangular(factor, x.mT, upper=False).mT.contiguous()
            for personas in _slices(n_personas, per_personas):
                v, failed = newton(a, factor, signs[personas], self.c, self.max_iter, self.tol)
                w = torch.linalg.solve_triangular(factor.mT, v.mT, upper=True)
                solution[personas, heads] = w.permute(2, 0, 1)
                unconverged += failed
        if unconverged:
            fits = f"{unconverged} of {n_personas * n_heads} fits"
            message = f"logistic probe: {fits} did not converge in {self.max_iter} steps"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return scaled.undo(solution[..., :dim], solution[..., dim])


def tile_shape(n_personas: int, n_heads: int, n_rows: int, width: int) -> tuple[int, int]:
    """(heads, personas) of a tile, such that its arrays take about TILE_BYTES, or one problem where that is more.

    A tile has to fit into a cache, for every step reads all of it; and a head's personas share its products, so a tile
    has many personas rather than many heads.
    """
    problem = 8 * (8 * n_rows + 8 * width)
    per_personas = max(1, min(n_personas, TILE_BYTES // problem))
    per_heads = max(1, min(n_heads, TILE_BYTES // (per_personas * problem)))
    return per_heads, per_personas


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _fixed_curvature(x: Tensor, c: float) -> Tensor:
    """B = K + c k X'X, [H, W, W], for rows [H, R, W] whose last feature is 1."""
    curvature = c * CURVATURE * (x.mT @ x)
    curvature.diagonal(dim1=1, dim2=2)[:, :-1] += 1
    return curvature


def newton(a: Tensor, factor: Tensor, signs: Tensor, c: float, max_iter: int, tol: float) -> tuple[Tensor, int]:
    """Damped Newton steps for all H heads and P personas; those that have converged are dropped from the products.

    Each step is halved until the objective falls by enough (Armijo's rule), so it converges from any start.

    Args:
        a: float64 [H, R, W], the rows in the coordinates of the fixed curvature.
        factor: L, float64 [H, W, W].
        signs: float64 [P, R] in {-1, 0, 1}.
        c: inverse strength of the penalty.
        max_iter: steps at most.
        tol: no entry of the gradient by w may exceed tol * c * rows.

    Returns:
        v float64 [H, P, W] and the number of problems that did not converge in `max_iter` steps.
    """
    n_heads, n_personas, narrow = len(a), len(signs), a.float()
    solution = a.new_zeros(n_heads, n_personas, a.shape[2])
    places = torch.arange(n_personas).expand(n_heads, -1)  # of the problems at work, in `solution`
    size = (c * signs.square().sum(dim=1)).expand(n_heads, -1)[..., None]
    s, v, z = signs.expand(n_heads, -1, -1), solution, a.new_zeros(n_heads, *signs.shape)
    p = torch.full_like(z, 0.5)
    before = _objective(v, z, p, c)
    for step in range(max_iter + 1):
        wrong = torch.addcmul(s, s, p, value=-1)  # s q
        gradient = torch.baddbmm(v, wrong.add_(z, alpha=CURVATURE), a, alpha=-c)
        at_work = (gradient @ factor.mT).abs().amax(dim=2, keepdim=True) > tol * size
        count = int(at_work.sum(dim=1).max())
        if step == max_iter or count == 0:
            break
        if count < v.shape[1]:
            keep = _places_of(at_work, count)
            solution, places = _put(solution, places, v), places.gather(1, keep)
            kept = (s, v, z, p, gradient, at_work, size, before)
            s, v, z, p, gradient, at_work, size, before = (_pick(values, keep) for values in kept)
        direction = _newton_direction(narrow if step < FLOAT32_STEPS else a, s, p, gradient, at_work, size, c)
        slope = direction @ a.mT  # of z along the step, so that halving costs no product
        descent = _dot(gradient, direction)
        rounding = 1e-13 * (before.abs() + _dot(v, v))  # at the optimum the objective cannot fall any more
        share = at_work.double()  # 0 for a problem that only fills up the batch: it stays where it is
        for _ in range(MAX_HALVINGS):
            v_there, z_there = torch.addcmul(v, share, direction), torch.addcmul(z, share, slope)
            p_there = (s * z_there).sigmoid_()
            after = _objective(v_there, z_there, p_there, c)
            too_far = ~(after <= before + 1e-4 * share * descent + rounding)
            if not bool(too_far.any()):
                break
            share = torch.where(too_far, share / 2, share)
        v, z, p, before = v_there, z_there, p_there, after
    return _put(solution, places, v), int(at_work.sum())


def _newton_direction(
    a: Tensor, s: Tensor, p: Tensor, gradient: Tensor, at_work: Tensor, size: Tensor, c: float
) -> Tensor:
    """About minus the inverse Hessian times the gradient [H, P, W], 0 where `at_work` [H, P, 1] is False.

    It is computed in the precision of `a`, all else is float64.
    """
    length = gradient.norm(dim=2, keepdim=True)
    precision = (length / size.sqrt()).sqrt().clamp(FINEST_STEP, COARSEST_STEP)
    # of length 1, for float32 has no numbers as small as a late gradient's square
    unit = (gradient / -length.clamp_min(torch.finfo(length.dtype).tiny)).to(a.dtype)
    s, p = s.to(a.dtype), p.to(a.dtype)
    below = CURVATURE - torch.addcmul(p, p, p, value=-1).mul_(s).mul_(s)
    direction = conjugate_gradients(a, below, unit, torch.where(at_work, precision, torch.inf).to(a.dtype), c)
    found: Tensor = direction.double() * length
    return found


def conjugate_gradients(a: Tensor, below: Tensor, right: Tensor, enough: Tensor, c: float) -> Tensor:
    """Solve (I - c A' diag(below) A) d = right for every problem, until the residual's length is `enough`.

    Args:
        a: [H, R, W].
        below: [H, P, R], how far each row's curvature lies below the fixed one.
        right: [H, P, W].
        enough: [H, P, 1]; infinity gives d = 0.
        c: inverse strength of the penalty.

    Returns:
        d [H, P, W]. Any number of steps gives a direction that goes downhill from 0: that is what Newton's method
        needs, so a problem stops early where rounding has made the curvature along a step vanish.
    """
    n_heads, n_problems, width = right.shape
    solution = torch.zeros_like(right)
    places = torch.arange(n_problems).expand(n_heads, -1)
    d, residual, along, square = solution, right, right, _dot(right, right)
    at_work = square > enough.square()
    for _ in range(2 * width):  # in exact arithmetic `width` are enough
        count = int(at_work.sum(dim=1).max())
        if count == 0:
            break
        if count <= DROPPED_BELOW * d.shape[1]:
            keep = _places_of(at_work, count)
            solution, places = _put(solution, places, d), places.gather(1, keep)
            kept = (d, residual, along, square, at_work, enough, below)
            d, residual, along, square, at_work, enough, below = (_pick(values, keep) for values in kept)
        product = torch.baddbmm(along, (along @ a.mT).mul_(below), a, alpha=-c)
        curvature = _dot(along, product)
        at_work = at_work & (curvature > 0)
        step = torch.where(at_work, square / curvature, 0.0)
        d = torch.addcmul(d, step, along)
        residual = torch.addcmul(residual, step, product, value=-1)
        square, last = _dot(residual, residual), square
        at_work = at_work & (square > enough.square())
        along = torch.addcmul(residual, torch.where(at_work, square / last, 0.0), along)
    return _put(solution, places, d)


def _objective(v: Tensor, z: Tensor, p: Tensor, c: float) -> Tensor:
    """[H, P, 1], at v [H, P, W] with z = Av and p = 1 / (1 + exp(-s z)) [H, P, R]; infinite where p has come to 0."""
    likelihood = p.log().sum(dim=2, keepdim=True)
    return 0.5 * _dot(v, v) - c * (likelihood + CURVATURE / 2 * _dot(z, z))


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """[H, P, X] and the same -> [H, P, 1]."""
    product: Tensor = torch.linalg.vecdot(one, other)
    return product[..., None]


def _places_of(at_work: Tensor, count: int) -> Tensor:
    """Where the problems at work are, [H, P, 1] -> [H, count]; with fewer than that in a head, others fill it up."""
    return torch.argsort(at_work[..., 0].to(torch.int8), dim=1, descending=True, stable=True)[:, :count]


def _pick(values: Tensor, places: Tensor) -> Tensor:
    """[H, P, X] at places [H, n] -> [H, n, X]."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))


def _put(into: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """A copy of [H, P, X] with values [H, n, X] at places [H, n]."""
    return into.scatter(1, places[..., None].expand(-1, -1, into.shape[2]), values)
