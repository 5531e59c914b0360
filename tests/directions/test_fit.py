"""Directions against naive loops, and what must not change them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pasctl.directions import DIRECTIONS
from pasctl.directions.fit import Directions, fit_directions
from pasctl.directions.mass_mean import MassMean
from pasctl.directions.method import DirectionMethod
from pasctl.directions.pca import PrincipalComponent
from pasctl.errors import InputError, PasctlError

P, N_ITEMS, L, H, D, K = 4, 30, 3, 5, 6, 7
BOTH = [(0, 1), (2, 3)]
METHODS = [DIRECTIONS.get(name)() for name in DIRECTIONS.names()]
every_method = pytest.mark.parametrize("method", METHODS, ids=DIRECTIONS.names())
every_center = pytest.mark.parametrize("center", ["none", "population"])


@pytest.fixture
def data() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Head outputs [items, 4, L, H, D], signs [P, I] and heads [P, K, 2] that differ between personas."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(N_ITEMS, 4, L, H, D)) + rng.normal(size=(1, 4, 1, H, D)))
    signs = rng.choice([-1, 0, 1], p=[0.3, 0.2, 0.5], size=(P, N_ITEMS)).astype(np.int8)
    heads = np.stack([np.stack(np.divmod(rng.permutation(L * H)[:K], H), axis=1) for _ in range(P)])
    return x, signs, heads


def labelled(x: torch.Tensor, pairs: list[tuple[int, int]], signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One persona's rows and labels of one head [I, A, D]."""
    rows, labels = [], []
    for i in np.flatnonzero(signs):
        for agree, disagree in pairs:
            rows += [x[i, agree].numpy(), x[i, disagree].numpy()]
            labels += [1, 0] if signs[i] > 0 else [0, 1]
    return np.array(rows), np.array(labels)


def naive_raw(name: str, x: torch.Tensor, pairs: list[tuple[int, int]], signs: np.ndarray) -> np.ndarray:
    """The definition: difference of class means, or scikit-learn's weights on rows scaled as the probe scales them."""
    rows, labels = labelled(x, pairs, signs)
    if name == "mass-mean":
        return rows[labels == 1].mean(axis=0) - rows[labels == 0].mean(axis=0)
    if name == "pca":
        differences = rows[labels == 1] - rows[labels == 0]
        axis = np.linalg.svd(differences)[2][0]
        return axis * (axis @ differences.mean(axis=0))
    everyone, _ = labelled(x, pairs, np.ones(len(x)))
    rms = np.sqrt(((everyone - everyone.mean(axis=0)) ** 2).mean())
    scaled = (rows - everyone.mean(axis=0)) / rms
    return LogisticRegression(tol=1e-10, max_iter=10_000).fit(scaled, labels).coef_[0] / rms


@every_center
@pytest.mark.parametrize("pairs", [[(0, 1)], BOTH])
@pytest.mark.parametrize("name", DIRECTIONS.names())
def test_equals_naive_loops(data: tuple, name: str, pairs: list[tuple[int, int]], center: str) -> None:
    x, signs, heads = data
    fitted = fit_directions(x, pairs, signs, heads, DIRECTIONS.get(name)(), center)
    assert fitted.theta.dtype == fitted.sigma.dtype == np.float32
    for p, k in np.ndindex(P, K):
        layer, head = heads[p, k]
        one = x[:, :, layer, head]
        raw = [naive_raw(name, one, pairs, of_persona) for of_persona in signs]
        direction = raw[p] - (np.mean(raw, axis=0) if center == "population" else 0)
        theta = direction / np.linalg.norm(direction)
        np.testing.assert_allclose(fitted.theta[p, k], theta, atol=1e-5 if name == "mass-mean" else 2e-3)
        rows, _ = labelled(one, pairs, signs[p])
        assert fitted.sigma[p, k] == pytest.approx(np.std(rows @ fitted.theta[p, k]), rel=1e-5)


@every_center
@every_method
def test_theta_is_a_unit_vector(data: tuple, method: DirectionMethod, center: str) -> None:
    x, signs, heads = data
    fitted = fit_directions(x, BOTH, signs, heads, method, center)
    np.testing.assert_allclose(np.linalg.norm(fitted.theta, axis=2), 1, rtol=1e-6)
    assert (fitted.sigma > 0).all()


def same(one: Directions, other: Directions, theta: float = 1.0, sigma: float = 1.0) -> None:
    np.testing.assert_allclose(other.theta, theta * one.theta, atol=1e-5)
    np.testing.assert_allclose(other.sigma, sigma * one.sigma, rtol=1e-5)


@every_center
@every_method
def test_flipping_all_signs_flips_theta(data: tuple, method: DirectionMethod, center: str) -> None:
    x, signs, heads = data
    before = fit_directions(x, BOTH, signs, heads, method, center)
    same(before, fit_directions(x, BOTH, -signs, heads, method, center), theta=-1)
    swapped = [(disagree, agree) for agree, disagree in BOTH]
    same(before, fit_directions(x, swapped, signs, heads, method, center), theta=-1)


@every_center
@every_method
def test_scale_offset_and_order_of_items_do_not_matter(data: tuple, method: DirectionMethod, center: str) -> None:
    x, signs, heads = data
    before = fit_directions(x, BOTH, signs, heads, method, center)
    same(before, fit_directions(x * 30, BOTH, signs, heads, method, center), sigma=30)
    offset = torch.linspace(-5, 5, L * H * D).view(L, H, D)
    same(before, fit_directions(x + offset, BOTH, signs, heads, method, center))
    order = np.random.default_rng(2).permutation(N_ITEMS)
    same(before, fit_directions(x[order], BOTH, signs[:, order], heads, method, center))


@pytest.mark.parametrize("method", [each for each in METHODS if not isinstance(each, PrincipalComponent)])
def test_a_planted_direction_is_recovered(method: DirectionMethod) -> None:
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(120, 2, 1, 2, 8)))
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=(3, 120))
    planted = np.linalg.qr(rng.normal(size=(8, 3)))[0].T  # one axis for each persona
    shift = torch.from_numpy(np.einsum("pi,pd->id", signs, planted))
    x[:, 0, 0, 1] += shift
    x[:, 1, 0, 1] -= shift
    fitted = fit_directions(x, [(0, 1)], signs, np.tile([[[0, 1]]], (3, 1, 1)), method)
    assert (np.einsum("pd,pd->p", fitted.theta[:, 0], planted) > 0.9).all()


def test_centring_takes_off_what_all_personas_share(data: tuple) -> None:
    """A letter component: agreeing rows shifted alike for everybody, who mostly agree."""
    x, _, heads = data
    rng = np.random.default_rng(4)
    signs = rng.permuted(np.repeat(np.array([1, -1], dtype=np.int8), [20, 10])[None].repeat(P, 0), axis=1)
    letter = torch.zeros(4, 1, 1, D)
    letter[:, ..., 0] = torch.tensor([50.0, -50.0, 50.0, -50.0])[:, None, None]
    shifted = x + letter
    assert (fit_directions(shifted, BOTH, signs, heads, MassMean()).theta[..., 0] > 0.99).all()
    np.testing.assert_allclose(
        fit_directions(shifted, BOTH, signs, heads, MassMean(), "population").theta,
        fit_directions(x, BOTH, signs, heads, MassMean(), "population").theta,
        atol=1e-5,
    )


def test_layer_by_layer_loads_only_the_layers_asked_for(data: tuple) -> None:
    x, signs, heads = data
    heads = heads.copy()
    heads[:, :, 0] = np.where(heads[:, :, 0] == 1, 2, heads[:, :, 0])
    loaded, seen = [], []

    def source(layer: int) -> torch.Tensor:
        loaded.append(layer)
        return x[:, :, layer]

    parts = fit_directions(
        source, BOTH, signs, heads, MassMean(), n_layers=L, progress=lambda done, total: seen.append((done, total))
    )
    same(fit_directions(x, BOTH, signs, heads, MassMean()), parts)
    assert loaded == [0, 2]
    assert seen == [(1, 2), (2, 2)]


@every_method
def test_identical_answers_give_an_error_not_nan(data: tuple, method: DirectionMethod) -> None:
    """The published fork's bug: both prompts identical, every direction 0/0."""
    x, signs, heads = data
    x = x.clone()
    layer, head = heads[2, 0]
    x[:, 1, layer, head] = x[:, 0, layer, head]
    heads = heads[:, :1].copy()
    heads[[0, 1, 3], 0] = [(layer, head - 1 if head else 1)]
    with pytest.raises(PasctlError, match=rf"persona 'c' layer {layer} head {head}: .*zero or non-finite") as caught:
        fit_directions(x, [(0, 1)], signs, heads, method, ids=list("abcd"))
    assert "prompts" in (caught.value.hint or "")


def test_where_a_persona_may_lack_a_direction_it_is_not_shifted_and_others_stay_as_they_are(data: tuple) -> None:
    """A head that hears the letter alone differs by the same on all items, and as many yes as no cancel."""
    x, signs, heads = data
    x, signs = x.clone(), signs.copy()
    layer, head = heads[2, 0]
    x[:, 0, layer, head] = x[:, 1, layer, head] + 1.0
    signs[2] = np.resize([1, -1, 0], N_ITEMS)
    heads = np.repeat(heads[2][None], P, axis=0)
    with pytest.raises(PasctlError, match="zero or non-finite"):
        fit_directions(x, [(0, 1)], signs, heads, MassMean())
    found = fit_directions(x, [(0, 1)], signs, heads, MassMean(), lacking="some")
    same(found, fit_directions(x, [(0, 1)], signs, heads, MassMean(), lacking="any"))
    assert not found.theta[2, 0].any()
    assert found.sigma[2, 0] == 0
    assert (found.sigma[2, 1:] > 0).all()
    whole = [0, 1, 3]
    alone = fit_directions(x, [(0, 1)], signs[whole], heads[whole], MassMean())
    assert np.array_equal(found.theta[whole], alone.theta)


def test_a_persona_without_any_direction_is_refused_unless_any_may_lack(data: tuple) -> None:
    x, signs, heads = data
    x, signs = x.clone(), signs.copy()
    x[:, 0] = x[:, 1] + 1.0
    signs[2] = np.resize([1, -1, 0], N_ITEMS)
    with pytest.raises(PasctlError, match=r"persona 'c' layer .* and others: .*zero or non-finite"):
        fit_directions(x, [(0, 1)], signs, heads, MassMean(), ids=list("abcd"), lacking="some")
    assert not fit_directions(x, [(0, 1)], signs, heads, MassMean(), lacking="any").sigma[2].any()


@every_method
def test_personas_that_all_answer_alike_have_no_centred_direction(data: tuple, method: DirectionMethod) -> None:
    x, signs, heads = data
    with pytest.raises(PasctlError, match="zero or non-finite"):
        fit_directions(x, BOTH, signs[:1].repeat(3, 0), heads[:3], method, "population")


def test_input_that_makes_no_sense_is_refused(data: tuple) -> None:
    x, signs, heads = data
    with pytest.raises(InputError, match="at least 2 personas"):
        fit_directions(x, BOTH, signs[:1], heads[:1], MassMean(), "population")
    with pytest.raises(InputError, match="centring"):
        fit_directions(x, BOTH, signs, heads, MassMean(), "mean")
    with pytest.raises(InputError, match="shapes"):
        fit_directions(x, BOTH, signs, heads[:2], MassMean())
    for bad in ([L, 0], [0, H], [0, -1]):
        wrong = heads.copy()
        wrong[1, 1] = bad
        with pytest.raises(InputError, match=r"expected (layers|heads)"):
            fit_directions(x, BOTH, signs, wrong, MassMean())
    neutral = signs.copy()
    neutral[1] = 0
    with pytest.raises(InputError, match="persona 1: expected an item answered other than 3"):
        fit_directions(x, BOTH, neutral, heads, MassMean())


def test_bfloat16_is_accumulated_in_full_precision(data: tuple) -> None:
    x, signs, heads = data
    same(
        fit_directions(x.bfloat16().double(), BOTH, signs, heads, MassMean()),
        fit_directions(x.bfloat16(), BOTH, signs, heads, MassMean()),
    )


def test_letters_are_projected_out_of_each_head() -> None:
    """By numpy: the mean over items of what the agreeing letter does has no share in any direction left."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((9, 4, 2, 3, 8))  # both option orders
    x[:, ::2] += 3 * rng.standard_normal((1, 1, 2, 3, 8))  # the letters say much whoever answers
    signs = rng.choice(np.array([-1, 1], np.int8), (4, 9))
    pairs = [(0, 1), (2, 3)]
    heads = np.array([[[layer, head] for layer in range(2) for head in range(3)]] * 4)
    found = fit_directions(torch.from_numpy(x), pairs, signs, heads, MassMean(), "letters")
    difference = np.mean([x[:, a] - x[:, b] for a, b in pairs], axis=0)  # [I, L, H, D]
    nobodys = difference.mean(axis=0)
    unit = nobodys / np.linalg.norm(nobodys, axis=-1, keepdims=True)
    raw = np.einsum("pi,ilhd->plhd", signs, difference) / 9
    left = raw - (raw * unit).sum(axis=-1, keepdims=True) * unit
    expected = (left / np.linalg.norm(left, axis=-1, keepdims=True)).reshape(4, 6, 8)
    np.testing.assert_allclose(found.theta, expected, atol=1e-6)
    shares = np.abs((found.theta * unit.reshape(6, 8)).sum(axis=-1))
    before = fit_directions(torch.from_numpy(x), pairs, signs, heads, MassMean())
    assert shares.max() < 1e-6
    assert np.median(np.abs((before.theta * unit.reshape(6, 8)).sum(axis=-1))) > 0.3
