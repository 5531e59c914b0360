"""scikit-learn's classifiers as probes: the logistic one is ours, and all of them find a planted direction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pasctl.directions import DIRECTIONS
from pasctl.probes import PROBES
from pasctl.probes.logistic import LogisticProbe

HEADS, ROWS, DIM, PEOPLE = 2, 60, 5, 3
ESTIMATORS = [name for name in PROBES.names() if name.startswith("sklearn:")]


@pytest.fixture(scope="module")
def planted() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows [H, R, D], labels and usable [P, R], and the axis [H, D] along which the first person's labels lie."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(HEADS, DIM, generator=generator, dtype=torch.float64), dim=1)
    rows = torch.randn(HEADS, ROWS, DIM, generator=generator, dtype=torch.float64)
    labels = (torch.rand(PEOPLE, ROWS, generator=generator) > 0.5).double()
    rows += 4 * (labels[0] - 0.5)[None, :, None] * axis[:, None]
    usable = (torch.rand(PEOPLE, ROWS, generator=generator) > 0.2).double()
    return rows, labels, usable, axis


def test_the_logistic_one_is_ours(planted: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    rows, labels, usable, _ = planted
    ours = LogisticProbe(c=0.3).fit(rows, labels, usable)
    theirs = PROBES.build("sklearn:LogisticRegression:tol=1e-10,max_iter=10000", c=0.3).fit(rows, labels, usable)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_planted_direction_is_found(name: str, planted: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    rows, labels, usable, axis = planted
    weights, bias = PROBES.build(name, c=1.0).fit(rows, labels, usable)
    assert weights.shape == (PEOPLE, HEADS, DIM)
    assert bias.shape == (PEOPLE, HEADS)
    cosine = torch.nn.functional.cosine_similarity(weights[0], axis, dim=1)
    assert (cosine > 0.85).all()
    right = ((torch.einsum("hd,hrd->hr", weights[0], rows) + bias[0][:, None] > 0) == (labels[0] > 0.5)).double()
    assert right.mean() > 0.9


def test_shrinking_leads_from_the_difference_of_means_to_fishers_discriminant() -> None:
    """Items whose rows vary along one axis more than along the others, which the discriminant discounts."""
    generator = torch.Generator().manual_seed(1)
    items, answers = 400, 2
    noise = torch.randn(items, answers, 1, DIM, generator=generator, dtype=torch.float64)
    noise[..., 0] *= 6
    signs = torch.where(torch.rand(1, items, generator=generator) > 0.5, 1, -1)
    shift = torch.ones(DIM, dtype=torch.float64) * signs[0, :, None]
    x = noise + torch.stack([shift, -shift], dim=1)[:, :, None]
    directions = [
        DIRECTIONS.build(f"mass-mean:shrink={shrink}").raw(x, [(0, 1)], signs.to(torch.int8).numpy())[0, 0]
        for shrink in (0, 0.5, 0.999)
    ]
    plain = DIRECTIONS.build("mass-mean").raw(x, [(0, 1)], signs.to(torch.int8).numpy())[0, 0]
    assert torch.equal(directions[0], plain)
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rows = x[:, :, 0].flatten(0, 1).numpy()
    labels = torch.stack([signs[0] > 0, signs[0] < 0], dim=1).flatten().numpy()
    fisher = torch.from_numpy(LinearDiscriminantAnalysis(solver="lsqr").fit(rows, labels).coef_[0])
    cosines = [float(torch.nn.functional.cosine_similarity(each, fisher, dim=0)) for each in directions]
    assert cosines[0] < cosines[1] < cosines[2]
    assert cosines[2] > 0.999
