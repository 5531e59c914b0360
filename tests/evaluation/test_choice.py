"""The choice of a strength: what the rule says, and what it does to respondents on whom steering has a known effect.

People are drawn from the graded response model, and a "model" answers m + (alpha / 4) w (t - m) + noise, within 1..5:
m is what it says of an item when left alone, t what the person tends to answer to it, w which items steering
reaches, none of them where it has no effect.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.choice import SCOPES, choose_alphas
from pasctl.inventory import GradedResponse, Inventory, Item, simulate
from pasctl.inventory.simulate import item_parameters, latent_scores

ALPHAS = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)
PEOPLE = 20
RUNS = 100
INVENTORY = Inventory(
    "thirty-facets",
    tuple(
        Item(
            f"{trait}{facet}{number}",
            f"Do {trait}{facet}{number}.",
            trait=trait,
            facet=f"{trait}{facet}",
            key=-1 if number % 2 else 1,
            split="fit" if number < 4 else "report",
        )
        for trait in "OCEAN"
        for facet in range(6)
        for number in range(10)
    ),
    tuple("vwxyz"),
)
FIT, REPORT = INVENTORY.indices("fit"), INVENTORY.indices("report")
RESPONDENTS = GradedResponse()


# ----- what the rule says


def written_out(errors: np.ndarray, alphas: tuple[float, ...], may: list[bool]) -> float:
    """The rule as its definition reads, from errors [A, P, I]: all that pass, then the nearest of them."""
    mean = {a: np.mean([np.nanmean(person) for person in errors[n]]) for n, a in enumerate(alphas) if may[n]}
    lowest = min(mean.values())
    [best] = [alpha for alpha, value in mean.items() if value == lowest]
    passing = []
    for n, alpha in enumerate(alphas):
        if not may[n]:
            continue
        gaps = errors[n] - errors[alphas.index(best)]
        over = [[np.nanmean(each) for each in units] for units in (gaps, gaps.T) if len(units) > 1]
        if alpha == best or mean[alpha] - lowest < max(statistics.stdev(each) / len(each) ** 0.5 for each in over):
            passing.append(alpha)
    nearest = min(abs(alpha) for alpha in passing)
    return max(alpha for alpha in passing if abs(alpha) == nearest)


@pytest.mark.parametrize("seed", range(30))
def test_equals_its_definition_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    alphas = (-2.0, 1.0, 0.0, 4.0, -1.0, 2.0)
    errors = np.abs(rng.normal(1.0, 0.5, (6, 1, 30)) + rng.normal(0, 0.3, (6, 7, 30)) + rng.normal(0, 0.1, (6, 1, 1)))
    missing = rng.random((7, 30)) < 0.2
    errors[:, missing] = np.nan
    allowed = rng.random((6, 7)) < 0.8
    allowed[2] = True
    found = choose_alphas(errors, alphas, "persona", allowed)
    for persona in range(7):
        own = errors[:, [persona]][:, :, ~missing[persona]]
        assert found[persona] == written_out(own, alphas, allowed[:, persona].tolist())
    every = [bool(row.all()) for row in allowed]
    assert set(choose_alphas(errors, alphas, "population", allowed)) == {written_out(errors, alphas, every)}


def noisy(means: list[float], people: int = 3, items: int = 40) -> np.ndarray:
    """Errors [A, P, I] with these means, each persona's scattered by items in a way that cancels in their mean."""
    scatter = np.tile([0.3, -0.3], items // 2) * np.arange(len(means))[:, None, None]
    return np.broadcast_to(np.array(means)[:, None, None] + scatter, (len(means), people, items)).copy()


@pytest.mark.parametrize("scope", SCOPES)
def test_a_gain_that_all_items_of_all_personas_show_is_taken(scope: str) -> None:
    errors = np.random.default_rng(0).random((1, 4, 30)) + np.array([0.3, 0.2, 0.0, 0.1])[:, None, None]
    assert choose_alphas(errors, (0, 1, 2, 4), scope).tolist() == [2.0] * 4


def test_a_gain_within_one_standard_error_is_not_taken_and_one_beyond_it_is() -> None:
    error = 0.3 / np.sqrt(39)  # of 40 differences of +-0.3, whose variance divides by 39
    assert choose_alphas(noisy([1.0, 1.0 - 0.99 * error]), (0, 1), "persona").tolist() == [0.0] * 3
    assert choose_alphas(noisy([1.0, 1.0 - 1.01 * error]), (0, 1), "persona").tolist() == [1.0] * 3


@pytest.mark.parametrize("scope", SCOPES)
def test_nearest_to_zero_of_equal_strengths_is_the_positive_one_whatever_their_order(scope: str) -> None:
    errors = np.full((5, 3, 8), 0.5)
    errors[[0, 4]] = 0.2
    for order in ([0, 1, 2, 3, 4], [4, 1, 2, 3, 0], [2, 4, 0, 1, 3]):
        alphas = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[order]
        assert choose_alphas(errors[order], alphas, scope).tolist() == [2.0] * 3
    errors[0] = 0.1
    assert choose_alphas(errors, (-2, -1, 0, 1, 2), scope).tolist() == [-2.0] * 3


@pytest.mark.parametrize("scope", SCOPES)
def test_where_all_strengths_are_alike_none_is_zero(scope: str) -> None:
    found = choose_alphas(np.full((3, 4, 10), 0.7), (4, -0.0, -4), scope)
    assert found.tolist() == [0.0] * 4
    assert not np.signbit(found).any()


def test_what_is_not_allowed_is_neither_taken_nor_the_lowest() -> None:
    errors = noisy([1.0, 0.8, 0.4])
    alphas = (0, 1, 4)
    assert choose_alphas(errors, alphas, "persona").tolist() == [4, 4, 4]
    allowed = np.array([[False] * 3, [True, True, False], [True, False, False]])
    assert choose_alphas(errors, alphas, "persona", allowed).tolist() == [4, 1, 0]
    assert choose_alphas(errors, alphas, "population", allowed).tolist() == [0, 0, 0]
    budget = np.array([[True], [True], [False]])
    for scope in SCOPES:
        assert choose_alphas(errors, alphas, scope, budget).tolist() == [1, 1, 1]
    errors[2, :, ::2] = np.nan  # what is not allowed need not be measured
    assert choose_alphas(errors, alphas, "persona", budget).tolist() == [1, 1, 1]


def test_a_persona_that_says_too_little_is_left_alone_and_a_population_goes_by_the_others() -> None:
    errors = noisy([1.0, 0.2])
    errors[:, 0, :] = np.nan
    errors[:, 1, 1:] = np.nan
    assert choose_alphas(errors, (0, 2), "persona").tolist() == [0, 0, 2]
    assert choose_alphas(errors, (0, 2), "population").tolist() == [2, 2, 2]
    assert choose_alphas(np.full((2, 3, 9), np.nan), (0, 2), "population").tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(10))
def test_a_population_of_one_goes_by_its_items(seed: int) -> None:
    alone = np.random.default_rng(seed).random((4, 1, 25))
    expected = choose_alphas(alone, ALPHAS[:4], "persona")
    assert choose_alphas(alone, ALPHAS[:4], "population").tolist() == expected.tolist()
    silent = np.full((4, 2, 25), np.nan)
    with_silent = choose_alphas(np.concatenate([silent, alone], axis=1), ALPHAS[:4], "population")
    assert with_silent.tolist() == expected.tolist() * 3


@pytest.mark.parametrize(
    ("alphas", "told"),
    [
        ((1, 2, 4), "0 among them, found 1, 2, 4"),
        ((), "found none"),
        ((0, 1, 1), "distinct numbers, found 0, 1, 1"),
        ((0, -0.0, 1), "distinct"),
        ((0, 1, float("nan")), "found 0, 1, nan"),
    ],
)
def test_alphas_without_zero_or_that_repeat_are_refused_in_one_line(alphas: tuple[float, ...], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        choose_alphas(np.zeros((len(alphas), 2, 5)), alphas, "persona")
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="persona or population, found 'all'"):
        choose_alphas(np.zeros((2, 2, 5)), (0, 1), "all")
    with pytest.raises(InputError, match=r"2 alphas.*found \[3, 2, 5\]"):
        choose_alphas(np.zeros((3, 2, 5)), (0, 1), "persona")
    with pytest.raises(InputError, match=r"\[2, 3\] or \[2, 1\], found \[2, 2\]"):
        choose_alphas(np.zeros((2, 3, 5)), (0, 1), "persona", np.ones((2, 2), dtype=bool))


# ----- what it does where the effect is known


@dataclass(frozen=True)
class Noise:
    """How steering moves answers at random, with a standard deviation of `size` at the largest strength.

    Attributes:
        kind: "proportional" to the strength; "wandering" by an independent step from each strength to the next, of
            a variance like the distance; "anew" independently at each strength, 0 too, so that none is better.
        shared: an item's answer moves in the same way for all personas.
    """

    kind: str
    size: float
    shared: bool = False

    def draw(self, rng: np.random.Generator, people: int) -> np.ndarray:
        strengths = np.array(ALPHAS)[:, None, None] / max(ALPHAS)
        shape = (len(ALPHAS), 1 if self.shared else people, len(INVENTORY))
        fresh = self.size * rng.standard_normal(shape)
        if self.kind == "proportional":
            return strengths * fresh[:1]
        if self.kind == "wandering":
            return np.cumsum(np.sqrt(np.diff(strengths, axis=0, prepend=0.0)) * fresh, axis=0)
        return fresh


def tendencies(people: int, seed: int) -> np.ndarray:
    """What respondents of this seed answer on average if asked again and again [P, I], as agreements."""
    a, b = item_parameters(INVENTORY, RESPONDENTS, seed)
    eta = latent_scores(INVENTORY, RESPONDENTS, people, seed)
    keyed = 1 + (1 / (1 + np.exp(-a[:, None] * (eta[..., None] - b)))).sum(axis=-1)
    return np.where(INVENTORY.keys > 0, keyed, 6 - keyed)


def steered_errors(run: int, noise: Noise, reached: float, people: int = PEOPLE) -> np.ndarray:
    """|answer - agreement| [A, P, I] of the model, where steering reaches this share of the items."""
    rng = np.random.default_rng([5, run])
    alone = np.clip(rng.normal(3.4, 0.5, len(INVENTORY)), 1, 5)
    towards = np.where(rng.random(len(INVENTORY)) < reached, tendencies(people, run) - alone, 0.0)
    answers = alone + np.array(ALPHAS)[:, None, None] / 4 * towards + noise.draw(rng, people)
    return np.abs(np.clip(answers, 1, 5) - simulate(INVENTORY, people, run, RESPONDENTS).agreements)


@lru_cache
def without_effect(noise: Noise) -> tuple[np.ndarray, ...]:
    return tuple(steered_errors(run, noise, reached=0.0) for run in range(RUNS))


@lru_cache
def chosen(noise: Noise, scope: str) -> np.ndarray:
    """What the rule picks without an effect [runs, P]."""
    return np.array([choose_alphas(each[:, :, FIT], ALPHAS, scope) for each in without_effect(noise)])


def lowest(errors: np.ndarray, scope: str) -> np.ndarray:
    """The strength of lowest mean error for each persona [P]: the rule that this one replaces."""
    means = errors.mean(axis=2)
    if scope == "population":
        means = np.broadcast_to(means.mean(axis=1, keepdims=True), means.shape)
    return np.array(ALPHAS)[means.argmin(axis=0)]


def gain(errors: np.ndarray, strengths: np.ndarray) -> float:
    """By how much the mean error of the report items falls from strength 0 to each persona's own."""
    means = errors[:, :, REPORT].mean(axis=2)
    of_persona = [means[ALPHAS.index(alpha), persona] for persona, alpha in enumerate(strengths)]
    return float((means[0] - of_persona).mean())


NOISES = [
    Noise(kind, size, shared)
    for kind, size in (("proportional", 0.04), ("wandering", 0.04), ("anew", 0.2))
    for shared in (False, True)
]


def left_alone(noise: Noise, scope: str) -> tuple[float, float]:
    """How often 0 is chosen by the rule, and by the lowest error."""
    by_lowest = [lowest(each[:, :, FIT], scope) == 0 for each in without_effect(noise)]
    return float(np.mean(chosen(noise, scope) == 0)), float(np.mean(by_lowest))


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_without_an_effect_a_persona_is_mostly_left_alone(noise: Noise) -> None:
    by_rule, by_lowest = left_alone(noise, "persona")
    assert by_rule > 0.55
    assert by_rule > by_lowest + 0.3
    assert by_lowest < (0.55 if noise.kind == "proportional" else 0.3)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_without_an_effect_a_population_is_mostly_left_alone(noise: Noise) -> None:
    by_rule, by_lowest = left_alone(noise, "population")
    assert by_rule > 0.52
    assert by_rule > by_lowest + 0.3
    assert by_lowest < (0.6 if noise.kind == "proportional" else 0.35)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("noise", [noise for noise in NOISES if noise.kind != "proportional"], ids=str)
def test_without_an_effect_choosing_on_the_reported_items_shows_a_gain_and_choosing_elsewhere_none(
    noise: Noise, scope: str
) -> None:
    runs = without_effect(noise)
    oracle = np.array([gain(each, lowest(each[:, :, REPORT], scope)) for each in runs])
    by_rule = np.array([gain(each, strengths) for each, strengths in zip(runs, chosen(noise, scope), strict=True)])
    assert z_score(oracle) > 5
    assert z_score(by_rule) < 2


def z_score(values: np.ndarray) -> float:
    """The mean in standard errors."""
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))


@pytest.mark.parametrize(("reached", "fewest"), [(0.5, 0.9), (0.25, 0.75)])
def test_with_an_effect_the_best_strength_is_found_and_the_reported_error_falls(reached: float, fewest: float) -> None:
    """At alpha 4 the items that steering reaches are answered as the person tends to; 8 goes as far beyond."""
    noise = Noise("wandering", 0.25)
    others = np.mean([steered_errors(1000 + run, noise, reached, people=200).mean(axis=(1, 2)) for run in range(5)], 0)
    best = int(others.argmin())
    assert ALPHAS[best] == 4
    near = ALPHAS[best - 1 : best + 2]
    found: dict[str, list[np.ndarray]] = {scope: [] for scope in SCOPES}
    gains: dict[str, list[float]] = {scope: [] for scope in SCOPES}
    for run in range(40):
        errors = steered_errors(run, noise, reached)
        for scope in SCOPES:
            found[scope].append(choose_alphas(errors[:, :, FIT], ALPHAS, scope))
            gains[scope].append(gain(errors, found[scope][-1]))
    assert np.isin(found["persona"], near).mean() > fewest
    assert np.isin(found["population"], near).mean() > 0.95
    assert all(min(gains[scope]) > 0 for scope in SCOPES)
    # the best that the strength alone could bring, over everybody
    assert np.mean(gains["population"]) == pytest.approx(others[0] - others[best], rel=0.1)
