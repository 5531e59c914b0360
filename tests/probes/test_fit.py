import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from pasctl.errors import InputError, PasctlError
from pasctl.probes.fit import fit_probes, score_rows
from pasctl.probes.logistic import LogisticProbe
from pasctl.probes.pairs import pair_labels, pair_rows
from pasctl.probes.split import split_items

TRAITS = list("OCEAN") * 8
N_ITEMS, L, H, D, P = len(TRAITS), 3, 2, 6, 4


@pytest.fixture
def data() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Head outputs with two option orders [I, 4, L, H, D], signs [P, I], validation [I]."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(N_ITEMS, 4, L, H, D)))
    signs = rng.choice([-1, 0, 1], p=[0.3, 0.2, 0.5], size=(P, N_ITEMS)).astype(np.int8)
    return x, signs, split_items(TRAITS, 0.25, 0)


def labelled(x: torch.Tensor, pairs: list[tuple[int, int]], signs: np.ndarray, keep: np.ndarray) -> tuple:
    """One persona's rows and labels of one head [I, A, D], pair by pair, as the design words it."""
    rows, labels = [], []
    for i in np.flatnonzero(keep & (signs != 0)):
        for agree, disagree in pairs:
            rows += [x[i, agree].numpy(), x[i, disagree].numpy()]
            labels += [1, 0] if signs[i] > 0 else [0, 1]
    return np.array(rows), np.array(labels)


@pytest.mark.parametrize("pairs", [[(0, 1)], [(0, 1), (2, 3)], [(3, 0)]])
def test_scores_equal_a_loop_of_scikit_learn_fits(data: tuple, pairs: list[tuple[int, int]]) -> None:
    x, signs, validation = data
    scores = fit_probes(x, pairs, signs, validation, LogisticProbe(), keep_weights=True)
    assert scores.accuracy.dtype == scores.log_loss.dtype == np.float32
    assert scores.weights is not None
    assert scores.weights.shape == (P, L, H, D)
    for p, layer, head in np.ndindex(P, L, H):
        one = x[:, :, layer, head]
        everyone, _ = labelled(one, pairs, np.ones(N_ITEMS), ~validation)
        mean, rms = everyone.mean(0), np.sqrt(((everyone - everyone.mean(0)) ** 2).mean())
        train, target = labelled(one, pairs, signs[p], ~validation)
        test, answer = labelled(one, pairs, signs[p], validation)
        oracle = LogisticRegression(tol=1e-10, max_iter=10_000).fit((train - mean) / rms, target)
        probability = oracle.predict_proba((test - mean) / rms)[:, 1]
        assert scores.accuracy[p, layer, head] == pytest.approx(((probability > 0.5) == answer).mean(), abs=1e-6)
        assert scores.log_loss[p, layer, head] == pytest.approx(log_loss(answer, probability), rel=1e-4)
        np.testing.assert_allclose(scores.weights[p, layer, head] * rms, oracle.coef_[0], atol=1e-3)
    assert scores.n_train.tolist() == [(s[~validation] != 0).sum() for s in signs]
    assert scores.n_validation.tolist() == [(s[validation] != 0).sum() for s in signs]


def test_layer_by_layer_equals_all_at_once_and_reports_progress(data: tuple) -> None:
    x, signs, validation = data
    seen: list[tuple[int, int]] = []
    whole = fit_probes(x, [(0, 1)], signs, validation, LogisticProbe())
    parts = fit_probes(
        lambda layer: x[:, :, layer],
        [(0, 1)],
        signs,
        validation,
        LogisticProbe(),
        n_layers=L,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert np.array_equal(whole.accuracy, parts.accuracy)
    assert np.array_equal(whole.log_loss, parts.log_loss)
    assert whole.weights is None
    assert seen == [(1, L), (2, L), (3, L)]


def test_a_persona_does_not_depend_on_its_neighbours(data: tuple) -> None:
    x, signs, validation = data
    together = fit_probes(x, [(0, 1)], signs, validation, LogisticProbe())
    alone = fit_probes(x, [(0, 1)], signs[2:3], validation, LogisticProbe())
    np.testing.assert_allclose(together.log_loss[2:3], alone.log_loss, rtol=1e-5)
    assert np.array_equal(together.accuracy[2:3], alone.accuracy)


def test_validation_items_leave_the_weights_alone(data: tuple) -> None:
    x, signs, validation = data
    before = fit_probes(x, [(0, 1)], signs, validation, LogisticProbe(), keep_weights=True)
    changed = x.clone()
    changed[torch.from_numpy(validation)] *= 100
    after = fit_probes(changed, [(0, 1)], signs, validation, LogisticProbe(), keep_weights=True)
    assert before.weights is not None
    assert after.weights is not None
    np.testing.assert_array_equal(before.weights, after.weights)
    assert not np.array_equal(before.log_loss, after.log_loss)


def test_flipping_all_signs_keeps_the_scores(data: tuple) -> None:
    x, signs, validation = data
    scores = fit_probes(x, [(0, 1)], signs, validation, LogisticProbe())
    flipped = fit_probes(x, [(0, 1)], -signs, validation, LogisticProbe())
    np.testing.assert_allclose(scores.accuracy, flipped.accuracy, atol=1e-6)
    np.testing.assert_allclose(scores.log_loss, flipped.log_loss, rtol=1e-5)


def test_a_planted_signal_is_found_in_its_head_only(data: tuple) -> None:
    x, signs, validation = data
    x = x.clone()
    x[:, 0, 1, 1, 3] += 6.0 * torch.from_numpy(signs[0].astype(float))
    x[:, 1, 1, 1, 3] -= 6.0 * torch.from_numpy(signs[0].astype(float))
    accuracy = fit_probes(x.bfloat16(), [(0, 1)], signs, validation, LogisticProbe()).accuracy
    assert accuracy[0, 1, 1] == 1.0
    assert np.delete(accuracy[0].ravel(), 1 * H + 1).max() < 0.95


def test_a_logit_of_zero_counts_half() -> None:
    logits = torch.tensor([0.0, 2.0, -2.0, 5.0], dtype=torch.float64)
    labels = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    usable = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    accuracy, loss = score_rows(logits, labels, usable)
    assert accuracy.item() == pytest.approx(1.5 / 3)
    assert loss.item() == pytest.approx((np.log(2) + np.log1p(np.exp(-2)) + np.log1p(np.exp(2))) / 3)


def test_identical_answers_score_a_half(data: tuple) -> None:
    """Where both answers give the same rows (the published prompt bug), no head looks better than chance."""
    x, signs, validation = data
    scores = fit_probes(x[:, [0, 0]], [(0, 1)], signs, validation, LogisticProbe())
    np.testing.assert_allclose(scores.accuracy, 0.5)
    np.testing.assert_allclose(scores.log_loss, np.log(2), rtol=1e-6)


def test_rows_and_labels_follow_the_pairs() -> None:
    x = torch.arange(2 * 4 * 1 * 1).view(2, 4, 1, 1).bfloat16()
    assert pair_rows(x, [(0, 1), (3, 2)]).flatten().tolist() == [0, 1, 3, 2, 4, 5, 7, 6]
    labels, usable = pair_labels(np.array([[1, -1], [0, 1]], dtype=np.int8), 2)
    assert labels.tolist() == [[1, 0, 1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 1, 0, 1, 0]]
    assert usable.tolist() == [[1] * 8, [0] * 4 + [1] * 4]


@pytest.mark.parametrize(("side", "word"), [(True, "validation"), (False, "training")])
def test_a_persona_without_pairs_on_one_side_is_named(data: tuple, side: bool, word: str) -> None:
    x, signs, validation = data
    signs[2, validation == side] = 0
    with pytest.raises(InputError, match=rf"persona 'case-c'.*at least one {word} item"):
        fit_probes(x, [(0, 1)], signs, validation, LogisticProbe(), ids=["a", "b", "case-c", "d"])


def test_a_head_output_that_is_not_finite_is_named(data: tuple) -> None:
    x, signs, validation = data
    x = x.clone()
    x[5, 1, 2, 1, 0] = float("nan")
    with pytest.raises(PasctlError, match="layer 2 head 1"):
        fit_probes(x, [(0, 1)], signs, validation, LogisticProbe())


@pytest.mark.parametrize("pairs", [[], [(0, 0)], [(0, 4)], [(-1, 0)]])
def test_pairs_that_are_none_are_refused(data: tuple, pairs: list[tuple[int, int]]) -> None:
    x, signs, validation = data
    with pytest.raises(InputError, match="answer pairs"):
        fit_probes(x, pairs, signs, validation, LogisticProbe())


def test_shapes_that_do_not_fit_are_refused(data: tuple) -> None:
    x, signs, validation = data
    with pytest.raises(InputError, match="layer 0: expected head outputs of 40 items, found 39"):
        fit_probes(x[:-1], [(0, 1)], signs, validation, LogisticProbe())
    with pytest.raises(InputError, match="signs"):
        fit_probes(x, [(0, 1)], signs[:, 1:], validation, LogisticProbe())
    with pytest.raises(InputError, match="number of layers"):
        fit_probes(lambda layer: x[:, :, layer], [(0, 1)], signs, validation, LogisticProbe())
    with pytest.raises(InputError, match="signs: expected -1, 0 or 1"):
        fit_probes(x, [(0, 1)], signs * 2, validation, LogisticProbe())
