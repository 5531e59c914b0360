"""People drawn from norms: their scores against the norms, and one answer's shares against Samejima's formula."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from pasctl.errors import InputError
from pasctl.inventory import Inventory, Item, builtin_inventory, load_personas
from pasctl.inventory.graded import TraitItems, fitted
from pasctl.inventory.norms import Norm, PublishedNorms
from pasctl.inventory.scale import Scale
from pasctl.inventory.simulate import demo_respondents
from pasctl.inventory.trait_scores import trait_scores

PEOPLE = 20_000
CODES = ("Warm", "Bold", "Neat")
CORRELATIONS = (("Warm", "Bold", 0.4), ("Neat", "Bold", -0.3))
OWN = Scale(("a", "b", "c", "d"), (3, 1, 1, 0))


def inventory(points: int, norms: tuple[tuple[float, float], ...], per_trait: int = 8, first: int = 1) -> Inventory:
    """Three traits, half of whose items are keyed -1, with norms as (mean, sd)."""
    items = [
        Item(f"{code}{n}", f"Item {n} of {code}.", code, "", 1 if n % 2 else -1, "fit" if n % 3 else "report")
        for n in range(per_trait)
        for code in CODES
    ]
    scores = tuple(range(first + points - 1, first - 1, -1))
    return Inventory(
        "drawn",
        tuple(items),
        tuple(f"option {score}" for score in scores),
        scores,
        norms=PublishedNorms(
            tuple(Norm(code, *norm, n=500) for code, norm in zip(CODES, norms, strict=True)), CORRELATIONS
        ),
    )


FIVE = inventory(5, ((3.6, 0.6), (2.9, 0.8), (2.2, 0.45)))
SEVEN = inventory(7, ((4.9, 1.0), (3.2, 1.3), (5.5, 0.8)))
ELEVEN = inventory(11, ((6.0, 1.8), (4.1, 2.2), (7.5, 1.2)), first=0)
TWO = inventory(2, ((1.6, 0.25), (1.4, 0.22), (1.5, 0.3)), per_trait=12)
FOUR = inventory(4, ((2.5, 0.5), (2.0, 0.6), (3.1, 0.5)))
MIXED = replace(
    SEVEN,
    items=(
        *SEVEN.items[:-3],
        *(
            replace(item, scale=OWN, scenario=True, weight=2.0, key=key)
            for item, key in zip(SEVEN.items[-3:], (1, -1, 1), strict=True)
        ),
    ),
)


def scores_of(drawn: Inventory, spec: str) -> npt.NDArray[np.float64]:
    """Mean keyed scores [P, 3] over all items, worked out another way than by the package."""
    answers = load_personas(spec, drawn).agreements
    totals, weights = np.zeros((len(answers), len(CODES))), np.zeros(len(CODES))
    for column, item in enumerate(drawn.items):
        low, high = drawn.scales[column].low, drawn.scales[column].high
        share = (answers[:, column] - low) / (high - low)
        share = share if item.key > 0 else 1 - share
        place = CODES.index(item.trait)
        totals[:, place] += item.weight * (drawn.scale.low + share * (drawn.scale.high - drawn.scale.low))
        weights[place] += item.weight
    return totals / weights


@pytest.mark.parametrize(
    "drawn", [FIVE, SEVEN, ELEVEN, TWO, FOUR, MIXED], ids=["five", "seven", "eleven", "two", "four", "mixed"]
)
def test_marginals_are_the_norms(drawn: Inventory) -> None:
    scores = scores_of(drawn, f"sample:{PEOPLE}")
    for place, norm in enumerate(drawn.norms.norms):
        mean, sd = scores[:, place].mean(), scores[:, place].std(ddof=1)
        assert abs(mean - norm.mean) < 3.5 * norm.sd / math.sqrt(PEOPLE), norm
        assert abs(sd / norm.sd - 1) < 0.03, norm
    r = np.corrcoef(scores.T)
    for (row, column), expected in {(0, 1): 0.4, (1, 2): -0.3, (0, 2): 0.0}.items():
        error = (1 - expected**2) / math.sqrt(PEOPLE)
        assert abs(r[row, column] - expected) < 4 * error, (row, column)


def test_answers_are_options_and_most_options_are_used() -> None:
    for drawn in (FIVE, SEVEN, MIXED):
        answers = load_personas("sample:2000", drawn).agreements
        for column, scale in enumerate(drawn.scales):
            used, offered = set(np.unique(answers[:, column])), set(map(float, scale.scores))
            assert used <= offered
            assert len(used) > len(offered) / 2, "the ends may be rare"


def test_scores_are_as_reliable_as_questionnaires_are() -> None:
    """Alpha of eight items; answers without noise would have 1, and answers of nobody 0."""
    keyed = FIVE.keyed(load_personas("sample:5000", FIVE).agreements)
    for code in CODES:
        items = keyed[:, np.array(FIVE.traits) == code]
        alpha = 8 / 7 * (1 - items.var(axis=0, ddof=1).sum() / items.sum(axis=1).var(ddof=1))
        assert 0.6 < alpha < 0.97, code


def test_shares_of_answers_are_those_of_the_formula() -> None:
    """Against a naive integral over the trait, item by item and option by option."""
    keyed = FIVE.keyed(load_personas(f"sample:{PEOPLE}", FIVE).agreements)
    items = TraitItems.of(FIVE, "Warm")
    model = fitted(items, FIVE.norms.norms[0], 1.6)
    assert model is not None
    step = 0.02
    grid = [step * place for place in range(-300, 301)]
    for row, column in enumerate(items.columns):
        passed = [1.0]
        for threshold in model.thresholds[row]:
            passed.append(
                sum(
                    math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * step / (1 + math.exp(threshold - 1.6 * z))
                    for z in grid
                )
            )
        passed.append(0.0)
        for option in range(5):
            share, chance = (keyed[:, column] == option + 1).mean(), passed[option] - passed[option + 1]
            assert abs(share - chance) < 4.5 * math.sqrt(chance * (1 - chance) / PEOPLE), (row, option)


def test_a_seed_decides_and_fewer_people_are_the_first_of_more() -> None:
    assert load_personas("sample:300:7", SEVEN).digest == load_personas("sample:300:7", SEVEN).digest
    assert load_personas("sample:300", SEVEN).digest == load_personas("sample:300:0", SEVEN).digest
    assert load_personas("sample:300:7", SEVEN).digest != load_personas("sample:300", SEVEN).digest
    assert load_personas("sample:300:seed=7", SEVEN).digest == load_personas("sample:300:7", SEVEN).digest
    few, many = load_personas("sample:100", SEVEN), load_personas("sample:3000", SEVEN)
    assert np.array_equal(few.agreements, many.agreements[:100])
    assert (few.label, len(set(many.ids))) == ("sample-100", 3000)


def test_scores_on_the_fit_items_carry_the_traits() -> None:
    scores = trait_scores(SEVEN, load_personas("sample:4000", SEVEN), CODES)
    assert np.corrcoef(scores.T)[0, 1] == pytest.approx(0.4, abs=0.1)


def test_a_hundred_thousand_people_take_seconds() -> None:
    began = time.monotonic()
    assert len(load_personas("sample:100000", FIVE)) == 100_000
    assert time.monotonic() - began < 60


def test_a_group_has_its_own_norms() -> None:
    norms = tuple(
        replace(norm, group=group, mean=norm.mean + shift)
        for group, shift in (("men", 0.0), ("women", 0.5))
        for norm in FIVE.norms.norms
    )
    grouped = replace(FIVE, norms=PublishedNorms(norms, CORRELATIONS))
    men, women = (scores_of(grouped, f"sample:4000:group={group}").mean(axis=0) for group in ("men", "women"))
    assert women - men == pytest.approx([0.5] * 3, abs=0.08)
    with pytest.raises(InputError, match="several groups: men, women"):
        load_personas("sample:10", grouped)


@pytest.mark.parametrize(
    "spec",
    [
        "sample:x",
        "sample:0",
        "sample:100001",
        "sample:10:x",
        "sample:-5",
        "sample:10:-1",
        "sample:10:seed=",
        "sample:10:seed=x",
    ],
)
def test_words_that_say_no_number_are_refused(spec: str) -> None:
    with pytest.raises(InputError, match="expected sample:N") as caught:
        load_personas(spec, FIVE)
    assert caught.value.hint


def with_norms(*norms: Norm, correlations: tuple[tuple[str, str, float], ...] = ()) -> Inventory:
    return replace(FIVE, norms=PublishedNorms(norms, correlations))


WARM, BOLD, NEAT = FIVE.norms.norms


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (builtin_inventory(), "no norms"),
        (with_norms(WARM, BOLD), "no norms of Neat"),
        (with_norms(WARM, BOLD, replace(NEAT, mean=28.0)), "Neat has mean 28, expected a mean score between 1 and 5"),
        (with_norms(WARM, BOLD, replace(NEAT, sd=2.4)), "Neat has sd 2.4"),
        (with_norms(WARM, BOLD, NEAT, correlations=(("Warm", "Bold", 1.2),)), "Warm and Bold is 1.2"),
        (with_norms(WARM, BOLD, NEAT, correlations=(("Warm", "Cold", 0.2),)), "Warm and Cold"),
        (with_norms(WARM, BOLD, NEAT, correlations=(("Warm", "Bold", 0.2), ("Bold", "Warm", 0.3))), "0.2 and 0.3"),
        (
            with_norms(
                WARM, BOLD, NEAT, correlations=(("Warm", "Bold", 0.9), ("Bold", "Neat", 0.9), ("Warm", "Neat", -0.9))
            ),
            "not positive definite: -?0.9 of",
        ),
    ],
)
def test_norms_that_nobody_can_have_are_one_line(drawn: Inventory, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_personas("sample:10", drawn)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_answers_too_noisy_for_a_correlation_are_refused_by_name() -> None:
    """Two yes-no items a trait whose scores barely agree cannot correlate .9 with another trait's."""
    noisy = inventory(2, ((1.5, 0.36), (1.5, 0.36), (1.5, 0.36)), per_trait=2)
    noisy = replace(noisy, norms=PublishedNorms(noisy.norms.norms, (("Warm", "Neat", 0.9),)))
    with pytest.raises(InputError, match=r"Warm and Neat cannot correlate 0\.9"):
        load_personas("sample:10", noisy)


def test_without_norms_the_hint_names_the_people_that_there_are() -> None:
    for drawn, hint in ((builtin_inventory(), "--personas builtin"), (replace(FIVE, norms=PublishedNorms()), "norms:")):
        with pytest.raises(InputError, match="no norms") as caught:
            load_personas("sample:10", drawn)
        assert hint in str(caught.value.hint)


def test_a_coding_is_refused() -> None:
    with pytest.raises(InputError, match="stored answers"):
        load_personas("sample:10", FIVE, coding="keyed")


def test_what_was_simulated_before_is_as_it_was() -> None:
    """Digests enter the keys of everything made from them."""
    built_in = builtin_inventory()
    assert load_personas("builtin", built_in).digest.startswith("7f4c91dfd02c1dd1ed51")
    assert load_personas("demo", built_in).digest == demo_respondents(built_in).digest
    assert load_personas("demo", built_in).digest.startswith("e64218ff6ee78b77a3ae")
