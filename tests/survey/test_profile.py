"""Scores and percentiles against numbers worked out by hand, and against counting in fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm as normal

from pasctl.errors import InputError
from pasctl.inventory import Inventory, Item, builtin_inventory, simulate
from pasctl.inventory.norms import Norm, PublishedNorms
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.scale import Scale
from pasctl.survey.population import Population, population_of
from pasctl.survey.profile import Score, agreements_of, midrank_percentile, profile, profile_json

NAN = np.nan
SMALL = Inventory(
    name="small",
    labels=("5", "4", "3", "2", "1"),
    items=(
        Item("n1", "I worry.", "N", "worry", 1, "fit"),
        Item("e1", "I talk.", "E", "talk", 1, "fit"),
        Item("e2", "I keep quiet.", "E", "talk", -1, "report"),
        Item("e3", "I run.", "E", "pace", 1, "report"),
    ),
)
PEOPLE = np.array([[1, 3, 3, 3], [2, 5, 1, 1], [3, 1, 5, 5], [NAN, NAN, 2, NAN]], dtype=float)


def those(people: np.ndarray) -> Population:
    """Respondents with these agreements."""
    return Population("others", PersonaSet("others", tuple(map(str, range(len(people)))), people))


def scores_of(entries: dict[str, int | None], split: str = "all") -> dict[tuple[str, str | None], Score]:
    found = profile(SMALL, agreements_of(SMALL, entries), those(PEOPLE), SMALL.indices(split))
    return {(score.trait, score.facet): score for score in found}


def test_traits_come_in_order_and_each_is_followed_by_its_facets() -> None:
    assert list(scores_of({})) == [("E", None), ("E", "talk"), ("E", "pace"), ("N", None), ("N", "worry")]


def test_scores_worked_out_by_hand() -> None:
    found = scores_of({"e1": 4, "e2": 1, "e3": 3})
    # keyed: 4, 6 - 1 = 5, 3; the others' means are (3+3+3)/3, (5+5+1)/3, (1+1+5)/3 and 4 of one item
    assert found["E", None] == Score("E", "Extraversion", None, 4.0, 3, 3, 100 * 3.5 / 4, 4)
    # talk: 4.5 among 3, 5, 1 and 4
    assert found["E", "talk"] == Score("E", "talk", "talk", 4.5, 2, 2, 75.0, 4)
    # pace: 3 among 3, 1, 5; the fourth has not answered it
    assert found["E", "pace"] == Score("E", "pace", "pace", 3.0, 1, 1, 50.0, 3)


def test_only_the_same_items_of_the_others_count() -> None:
    """With e3 alone the second respondent is lowest; with e1 alone, highest."""
    assert scores_of({"e3": 2})["E", None] == Score("E", "Extraversion", None, 2.0, 1, 3, pytest.approx(100 / 3), 3)
    assert scores_of({"e1": 2})["E", None] == Score("E", "Extraversion", None, 2.0, 1, 3, pytest.approx(100 / 3), 3)
    assert scores_of({"e1": 4, "e3": None})["E", None].percentile == pytest.approx(200 / 3)


def test_what_is_not_answered_has_no_score() -> None:
    found = scores_of({"e1": 4, "n1": None})
    for place in (("N", None), ("N", "worry"), ("E", "pace")):
        assert (found[place].mean, found[place].percentile, found[place].answered) == (None, None, 0)


def test_a_split_counts_its_own_items() -> None:
    found = scores_of({"e1": 5, "e2": 5, "e3": 4}, "report")
    assert set(found) == {("E", None), ("E", "talk"), ("E", "pace")}
    assert (found["E", None].mean, found["E", None].items) == (2.5, 2)


def test_nobody_to_compare_with_gives_no_percentile() -> None:
    (trait, _) = profile(SMALL, agreements_of(SMALL, {"n1": 2}), those(np.full((2, 4), NAN)), np.array([0]))
    assert (trait.mean, trait.percentile, trait.respondents) == (2.0, None, 0)


@pytest.mark.parametrize(("value", "percentile"), [(0, 0.0), (1, 12.5), (2, 50.0), (2.5, 75.0), (3, 87.5), (4, 100.0)])
def test_midranks_by_hand(value: float, percentile: float) -> None:
    assert midrank_percentile(value, np.array([1.0, 2.0, 2.0, 3.0])) == percentile


def test_percentiles_are_those_of_counting_in_fractions() -> None:
    """Means of different numbers of answers can tie, 2/1 and 6/3: in binary they must too."""
    rng = np.random.default_rng(11)
    inventory = builtin_inventory()
    people = rng.integers(1, 6, size=(200, len(inventory))).astype(float)
    people[rng.random(people.shape) < 0.3] = NAN
    own = rng.integers(1, 6, size=len(inventory)).astype(float)
    own[rng.random(own.shape) < 0.2] = NAN
    for score in profile(inventory, own, those(people), inventory.indices("all")):
        items = [
            (column, item.key)
            for column, item in enumerate(inventory.items)
            if item.trait == score.trait and score.facet in (None, item.facet) and not np.isnan(own[column])
        ]

        def mean(row: np.ndarray, items: list[tuple[int, int]] = items) -> Fraction | None:
            values = [int(row[c]) if key > 0 else 6 - int(row[c]) for c, key in items if not np.isnan(row[c])]
            return Fraction(sum(values), len(values)) if values else None

        mine = mean(own)
        assert mine is not None
        others = [found for found in map(mean, people) if found is not None]
        ranks = [2 if other < mine else 1 if other == mine else 0 for other in others]
        assert score.mean == pytest.approx(float(mine))
        assert score.respondents == len(others)
        assert score.percentile == pytest.approx(float(Fraction(100 * sum(ranks), 2 * len(others))))


def test_a_respondent_stands_in_their_own_population_where_their_rank_is() -> None:
    inventory = builtin_inventory()
    people = simulate(inventory).agreements
    found = [profile(inventory, person, those(people), inventory.indices("all"))[0].percentile for person in people]
    assert np.mean([value for value in found if value is not None]) == pytest.approx(50.0)


def test_the_populations_say_who_they_are() -> None:
    inventory = builtin_inventory()
    population = population_of("builtin", inventory)
    assert population.told == "50 simulated respondents, no people"
    assert population.simulated
    with pytest.raises(InputError, match="as-published"):
        population_of("builtin", inventory, "as-published")


def test_json_names_traits_and_facets() -> None:
    rows = profile_json(tuple(scores_of({"e1": 4}).values()))
    assert [row["name"] for row in rows] == ["Extraversion", "talk", "pace", "Neuroticism", "worry"]
    assert rows[3]["mean"] is None


def test_a_score_of_zero_is_an_answer_and_null_is_none() -> None:
    inventory = Inventory("zero", SMALL.items, ("2", "1", "0"), (2, 1, 0))
    assert agreements_of(inventory, {"n1": 0, "e1": None, "e2": 2}).tolist() == pytest.approx(
        [0.0, NAN, 2.0, NAN], nan_ok=True
    )
    [trait, _] = profile(inventory, agreements_of(inventory, {"n1": 0}), Population(), np.array([0]))
    assert (trait.mean, trait.answered) == (0.0, 1)


def test_equal_weighted_means_of_other_items_tie_on_any_scale() -> None:
    """Thirds and sevenths of ranges are not exact in binary: equal means must count half all the same."""
    scales = [Scale(("3", "2", "1")), Scale(tuple("87654321")), None, Scale(("d", "c", "b", "a"), (10, 7, 4, 1))]
    items = tuple(
        replace(SMALL.items[place % 4], id=f"i{place}", trait="E", scale=scales[place % 4], weight=1 + place / 10)
        for place in range(12)
    )
    inventory = Inventory("mixed", items, SMALL.labels)
    rng = np.random.default_rng(0)
    drawn = np.array([[rng.choice(scale.scores) for scale in inventory.scales] for _ in range(20)], dtype=float)
    # the same means from other answers: items of one scale and one weight change places
    people = np.vstack([drawn, drawn[:, [*range(8, 12), *range(8)]]])
    for person in people:
        exact = [mean_of(inventory, row) for row in people]
        mine = mean_of(inventory, person)
        score = profile(inventory, person, those(people), inventory.indices("all"))[0]
        assert score.mean == pytest.approx(float(mine))
        ranks = sum(2 if other < mine else 1 if other == mine else 0 for other in exact)
        assert score.percentile == pytest.approx(100 * ranks / 2 / len(people))


def mean_of(inventory: Inventory, row: np.ndarray) -> Fraction:
    """A weighted mean in fractions, of items that are brought to the inventory's scale."""
    total, weight = Fraction(0), Fraction(0)
    for item, scale, value in zip(inventory.items, inventory.scales, row, strict=True):
        share = Fraction(int(value) - scale.low, scale.high - scale.low)
        share = share if item.key > 0 else 1 - share
        total += Fraction(str(item.weight)) * (
            inventory.scale.low + share * (inventory.scale.high - inventory.scale.low)
        )
        weight += Fraction(str(item.weight))
    return total / weight


def test_a_trait_without_facets_has_one_row() -> None:
    items = tuple(replace(item, facet=item.trait) for item in SMALL.items)
    inventory = replace(SMALL, items=items)
    rows = profile(inventory, agreements_of(inventory, {}), Population(), inventory.indices("all"))
    assert [(row.trait, row.facet) for row in rows] == [("E", None), ("N", None)]


def test_norms_are_of_traits_and_stand_before_respondents() -> None:
    norms = PublishedNorms((Norm("E", 3.2, 0.6, 120), Norm("E", 1.0, 0.1, 5, "few")))
    inventory = replace(builtin_inventory(), norms=norms)
    population = population_of("builtin", inventory)
    assert (population.personas, population.simulated, population.count) == (None, False, 120)
    own = simulate(builtin_inventory()).agreements[0]
    rows = profile(inventory, own, population, inventory.indices("all"))
    for row in rows:
        if (row.trait, row.facet) == ("E", None):
            assert row.mean is not None
            assert row.percentile == pytest.approx(100 * normal.cdf((row.mean - 3.2) / 0.6), abs=1e-9)
            assert row.respondents == 120
        else:
            assert (row.percentile, row.respondents) == (None, 0)
    assert population_of("builtin", inventory, group="few").norms["E"].mean == 1.0


def test_an_inventory_of_another_package_has_nobody_and_says_so() -> None:
    population = population_of("theirs", SMALL)
    assert (population.told, population.count, population.personas) == ("", 0, None)
    assert "neither norms nor respondents" in population.absent
    with pytest.raises(InputError, match="no norms of group 'old'"):
        population_of("theirs", SMALL, group="old")


def test_a_group_that_is_the_only_one_needs_no_name() -> None:
    inventory = replace(SMALL, norms=PublishedNorms((Norm("E", 3, 1, group="students"),)))
    assert population_of("theirs", inventory).group == "students"
