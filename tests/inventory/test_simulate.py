from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from pasctl.errors import InputError
from pasctl.inventory import GradedResponse, builtin_inventory, simulate
from pasctl.inventory.simulate import SEED, TRAIT_CORRELATIONS, item_parameters

INVENTORY = builtin_inventory()
LARGE = 4000


def keyed_scores(agreements: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(INVENTORY.keys > 0, agreements, 6 - agreements)


def cronbach_alpha(scores: npt.NDArray[np.float64]) -> float:
    """k/(k-1) (1 - sum of item variances / variance of the sum)."""
    k = scores.shape[1]
    return float(k / (k - 1) * (1 - scores.var(axis=0, ddof=1).sum() / scores.sum(axis=1).var(ddof=1)))


def test_same_seed_same_respondents_and_another_seed_others() -> None:
    assert simulate(INVENTORY).digest == simulate(INVENTORY, n=50, seed=SEED).digest
    assert simulate(INVENTORY, seed=SEED + 1).digest != simulate(INVENTORY).digest


def test_fifty_full_answer_sheets() -> None:
    personas = simulate(INVENTORY)
    assert personas.agreements.shape == (50, 60)
    assert set(np.unique(personas.agreements)) == {1, 2, 3, 4, 5}
    assert len(set(personas.ids)) == 50


def test_scales_are_as_reliable_as_questionnaires_are() -> None:
    # Published 12-item scales lie at about .75-.90; 50 respondents get a wider margin for their small number.
    traits = np.array(INVENTORY.traits)
    for n, low, high in ((LARGE, 0.75, 0.90), (50, 0.65, 0.93)):
        scores = keyed_scores(simulate(INVENTORY, n=n).agreements)
        for trait in "OCEAN":
            assert low < cronbach_alpha(scores[:, traits == trait]) < high, (n, trait)


def test_opposite_keyed_agreements_of_a_facet_correlate_negatively() -> None:
    agreements = simulate(INVENTORY, n=LARGE).agreements
    for a, first in enumerate(INVENTORY.items):
        for b, second in enumerate(INVENTORY.items[:a]):
            if first.facet == second.facet:
                r = np.corrcoef(agreements[:, a], agreements[:, b])[0, 1]
                assert r * first.key * second.key > 0.1, (first.id, second.id, r)


def test_trait_scores_have_the_signs_of_the_stated_correlations() -> None:
    scores = keyed_scores(simulate(INVENTORY, n=LARGE).agreements)
    traits = np.array(INVENTORY.traits)
    r = np.corrcoef([scores[:, traits == t].mean(axis=1) for t in "OCEAN"])
    off = ~np.eye(5, dtype=bool)
    assert (np.sign(r[off]) == np.sign(TRAIT_CORRELATIONS[off])).all()
    # attenuated by unreliability, never inflated beyond sampling error
    assert (np.abs(r[off]) < np.abs(TRAIT_CORRELATIONS[off]) + 4 / math.sqrt(LARGE)).all()


@pytest.mark.parametrize("acquiescence", [0.0, 0.6])
def test_category_shares_match_the_closed_form(acquiescence: float) -> None:
    """Shares of each keyed answer against a naive integral of Samejima's formula over the normal latent score."""
    model = GradedResponse(acquiescence=acquiescence)
    keyed = keyed_scores(simulate(INVENTORY, n=LARGE, model=model).agreements)
    a, b = item_parameters(INVENTORY, model, SEED)
    spread = math.sqrt(1 + acquiescence**2)  # trait and facet share variance 1; yea-saying comes on top
    step = 0.02
    grid = [i * step for i in range(-300, 301)]
    weight = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * step for z in grid]
    for item in range(len(INVENTORY)):
        at_least = [1.0]
        for k in range(4):
            exponents = [-a[item] * (z * spread - b[item, k]) for z in grid]
            at_least.append(sum(w / (1 + math.exp(e)) for w, e in zip(weight, exponents, strict=True)))
        at_least.append(0.0)
        for answer in range(1, 6):
            p = at_least[answer - 1] - at_least[answer]
            share = float((keyed[:, item] == answer).mean())
            assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / LARGE), (item, answer, share, p)


def test_acquiescence_shows_as_a_common_factor_of_agreements() -> None:
    """The mean over an equal number of + and - items is free of the traits: only yea-saying makes it vary."""

    def spread(c: float) -> float:
        return float(simulate(INVENTORY, n=LARGE, model=GradedResponse(acquiescence=c)).agreements.mean(axis=1).std())

    assert spread(0.6) > 2 * spread(0.0)


def test_items_stay_the_same_when_more_people_are_drawn() -> None:
    a, b = item_parameters(INVENTORY, GradedResponse(), SEED)
    assert (a > 0).all()
    assert (np.diff(b, axis=1) > 0).all()
    few, many = simulate(INVENTORY, n=LARGE), simulate(INVENTORY, n=2 * LARGE)
    assert np.abs(few.agreements.mean(axis=0) - many.agreements.mean(axis=0)).max() < 0.12


def test_impossible_parameters_are_refused() -> None:
    for bad in (
        {"thresholds": (0.0, 0.0, 1.0, 2.0)},
        {"facet_share": 1.5},
        {"discrimination": 0.0},
        {"acquiescence": -1.0},
    ):
        with pytest.raises(InputError):
            GradedResponse(**bad)
    with pytest.raises(InputError, match="n 0"):
        simulate(INVENTORY, n=0)
    with pytest.raises(InputError, match="seed -1"):
        simulate(INVENTORY, seed=-1)
