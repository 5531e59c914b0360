"""Verdicts at their rate: whole tables of simulated respondents, with and without an effect, made by the real metrics.

A respondent has five trait scores; an answer to an item is 3 plus its mean, the keyed score of its trait and noise.
Steering adds, to what the model answers anyway, the keyed scores of somebody: of the respondent where there is an
effect, of nobody in particular where there is none, each time with noise of the items. Controls are nobody's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pasctl.evaluation.differences import differences_table
from pasctl.evaluation.metrics import metrics_table
from pasctl.evaluation.trait_shifts import trait_shifts
from pasctl.evaluation.verdicts import at_chance, probes_finding, verdicts
from pasctl.evaluation.words import bracketed, listed, short
from tests.evaluation.tables import item_frame, predicted

TRAITS = ("O", "C", "E", "A", "N")

PEOPLE, EACH = 24, 8
TRAIT = np.repeat(list(TRAITS), EACH)
KEYS = np.tile([1, -1], len(TRAIT) // 2)
ITEMS = item_frame([f"i{place}" for place in range(len(TRAIT))], TRAIT, np.char.add(TRAIT, "1"), KEYS)
NULLS, PLANTED = 60, 20


def keyed_scores(scores: np.ndarray) -> np.ndarray:
    """Trait scores [P, 5] at every item [P, I]."""
    return np.repeat(scores, EACH, axis=1) * KEYS


def simulated(
    seed: int, effect: float = 0.0, *, size: float = 0.5, common: float = 0.0, settings: tuple[str, ...] = ("4",)
) -> dict[str, Any]:
    """The metrics of an evaluation.

    Args:
        seed: of everything that is drawn.
        effect: share of a respondent's own scores in what steering adds.
        size: of what it adds beside.
        common: how far all steering goes towards what everybody answers.
        settings: strengths; with an effect, it is at the first.
    """
    rng = np.random.default_rng(seed)
    profile, traits = rng.normal(0, 0.6, len(TRAIT)), rng.normal(0, 0.7, (PEOPLE, 5))
    noise = (PEOPLE, len(TRAIT))
    agreements = np.clip(np.round(3 + profile + keyed_scores(traits) + rng.normal(0, 0.6, noise)), 1, 5)
    alone = 3 + rng.normal(0, 0.3, len(TRAIT)) + 0.3 * profile

    def steered(own: float) -> np.ndarray:
        nobody = size * rng.normal(0, 0.7, traits.shape)
        moved = keyed_scores(own * traits + nobody) + rng.normal(0, 0.2 * size, noise)
        return np.clip(alone + common * profile + moved, 1, 5)

    frames = [predicted(ITEMS, np.broadcast_to(alone, noise), agreements, option_mass=0.9, condition="no-change")]
    for place, setting in enumerate(settings):
        own = effect if place == 0 else 0.0
        for condition, share in (("pas", own), ("random-direction", 0.0), ("shuffled-answers", 0.0)):
            expected = steered(share)
            given = predicted(ITEMS, expected, agreements, option_mass=0.9, condition=condition, setting=setting)
            frames.append(given.assign(alpha=float(setting)))
    rows = pd.concat(frames, ignore_index=True)
    return {"coding": "agreement", "conditions": metrics_table(rows), "differences": differences_table(rows)}


def earlier(metrics: dict[str, Any]) -> dict[str, Any]:
    """As results were before there was a distinctive item r."""
    kept = [
        {name: value for name, value in row.items() if not name.startswith(("distinctive", "wrong", "own"))}
        for row in metrics["conditions"]
    ]
    return {**metrics, "conditions": kept}


def outcome(metrics: dict[str, Any]) -> str:
    [verdict] = verdicts(metrics)
    return verdict.outcome


@pytest.mark.parametrize(
    "how",
    [{"size": 0.5}, {"size": 0.05}, {"size": 0.5, "common": 0.7}, {"size": 0.5, "settings": ("1", "2", "4")}],
    ids=["shifts at random", "hardly shifts", "shifts to what everybody answers", "three strengths"],
)
def test_without_an_effect_the_verdict_says_so_in_95_of_100(how: dict[str, Any]) -> None:
    many = NULLS // 2 if "settings" in how else NULLS
    made = [simulated(seed, **how) for seed in range(many)]
    for tables in (made, list(map(earlier, made))):
        false = np.mean([outcome(each) == "effect" for each in tables])
        assert all(outcome(each) != "unknown" for each in tables)
        assert false <= 0.05, false


@pytest.mark.parametrize("settings", [("4",), ("4", "1", "2")])
def test_a_planted_effect_is_called_one_in_90_of_100(settings: tuple[str, ...]) -> None:
    made = [simulated(1000 + seed, 0.35, settings=settings) for seed in range(PLANTED)]
    assert np.mean([outcome(each) == "effect" for each in made]) >= 0.9
    strong = [earlier(simulated(2000 + seed, 0.8, size=0.3, settings=settings)) for seed in range(PLANTED)]
    assert np.mean([outcome(each) == "effect" for each in strong]) >= 0.9


def poles_moved(seed: int, effect: float, traits: str = TRAITS, *, control: bool = True) -> dict[str, Any]:  # type: ignore[assignment]
    """Metrics of trait poles; opposite poles are moved along one axis in opposite directions."""
    rng = np.random.default_rng(seed)
    names = [f"{trait}{sign}" for trait in traits for sign in "+-"]
    signs = np.array([1.0 if name[1] == "+" else -1.0 for name in names])
    meant = (np.array([name[0] for name in names])[:, None] == TRAIT) * signs[:, None] * KEYS
    agreements = np.where(meant == 0, np.nan, 3 + 2 * meant)
    alone = np.broadcast_to(3 + rng.normal(0, 0.3, len(TRAIT)), agreements.shape)

    def steered(own: float) -> np.ndarray:
        axes = np.repeat(rng.normal(0, 0.4, (len(traits), 5)), 2, axis=0) * signs[:, None]
        return np.clip(alone + own * meant + keyed_scores(axes) + rng.normal(0, 0.1, alone.shape), 1, 5)

    frames = [predicted(ITEMS, alone, agreements, option_mass=0.9, condition="no-change", personas=names)]
    for condition, own in (("pas", effect), ("random-direction", 0.0))[: 1 + control]:
        made = predicted(ITEMS, steered(own), agreements, option_mass=0.9, condition=condition, personas=names)
        frames.append(made.assign(setting="4", alpha=4.0))
    rows = pd.concat(frames, ignore_index=True)
    return {
        "conditions": metrics_table(rows),
        "differences": differences_table(rows),
        "trait_shifts": trait_shifts(rows),
    }


def test_poles_are_judged_by_their_traits_which_count_once() -> None:
    assert np.mean([outcome(poles_moved(seed, 0.0)) == "effect" for seed in range(NULLS)]) <= 0.05
    assert np.mean([outcome(poles_moved(500 + seed, 1.3)) == "effect" for seed in range(PLANTED)]) >= 0.9
    [verdict] = verdicts(poles_moved(500, 1.3))
    assert verdict.effect.startswith("Steering has an effect: 10 of 10 poles move their trait as meant, by 1.")
    assert "along random directions" in verdict.effect


def test_one_pole_decides_nothing_unless_it_does_not_move_as_meant() -> None:
    outcomes = {outcome(poles_moved(seed, 0.0, "E")) for seed in range(30)}
    assert outcomes == {"unknown", "no effect"}
    [verdict] = verdicts(poles_moved(0, 1.5, "E", control=False))
    assert verdict.outcome == "unknown"
    assert "1 of the traits are too few" in verdict.effect
    [verdict] = verdicts(poles_moved(0, -1.5, "E"))
    assert verdict.effect.startswith("Steering has no effect: 0 of 2 poles move their trait as meant, by -1.")


def test_three_sentences_say_what_is_measured_and_nothing_that_is_not() -> None:
    metrics = simulated(3, 0.5) | {
        "side_effects": {
            "unsteered": {"perplexity": 20.0},
            "rows": [{"condition": "pas", "setting": "4", "kl": [0.8, 0.7, 0.9], "perplexity": [30.0, 29.0, 31.0]}],
        }
    }
    baseline = {**metrics["conditions"][0], "condition": "ridge", "composite": 1.5, "option_mass": None}
    metrics["conditions"].append(baseline)
    [verdict] = verdicts(metrics)
    answers, effect, cost = verdict.sentences
    row = metrics["conditions"][1]
    assert answers == "The model answers in letters: they hold .90 of the probability."
    assert effect.startswith(
        f"Steering has an effect: distinctive item r {row['distinctive_r']:.2f}".replace("r 0.", "r .")
    )
    assert "at alpha 4, p < 0.001 (another person's directions" in effect
    assert f"chance {12.5:.1f})" in effect
    for against in ("no-change", "random-direction", "shuffled-answers"):
        [difference] = [
            each for each in metrics["differences"] if (each["condition"], each["against"]) == ("pas", against)
        ]
        mean, low, high = difference["composite"]
        assert f"{against} ({bracketed(mean, [low, high])})" in effect
        assert ("is like" in effect or "is worse" in effect) if high >= 0 else "beats" in effect
    assert cost.startswith(
        "It costs .80 nats/token of KL and 1.5 times the perplexity on neutral text. ridge, which needs"
    )
    assert verdict.warnings == ("alpha 4 costs .80 nats/token of KL, above the budget of 0.5",)
    roomy = metrics | {"choice": {"budget_kl": 1.0}}
    assert verdicts(roomy)[0].warnings == ()


def test_letters_that_the_model_does_not_give_are_warned_of() -> None:
    metrics = simulated(4)
    for row in metrics["conditions"]:
        row |= {"option_mass": 0.12, "order_spread": 1.5}
    [verdict] = verdicts(metrics)
    assert verdict.answers == (
        "The model does not answer in letters: they hold .12 of the probability; the order of the options moves an "
        "answer by 1.50 of 4 points."
    )
    assert verdict.warnings == (
        "letters hold .12 of the probability, below .50: their proportions say little",
        "the order of the options moves an answer by 1.50 of 4 points",
    )


def test_each_reading_has_its_own_verdict() -> None:
    metrics = simulated(5, 0.6)
    letters = [{**row, "reading": "letters"} for row in simulated(6)["conditions"]]
    statements = [
        {**row, "reading": "statements", "dlp_spread": 0.3, "dlp_size": 1.25} for row in metrics["conditions"]
    ]
    found = {each.reading: each for each in verdicts({"conditions": [*letters, *statements]})}
    assert {name: each.outcome for name, each in found.items()} == {"letters": "no effect", "statements": "effect"}
    assert found["statements"].answers.endswith(
        "steering moves them by 1.25 nats (root mean square), self-report prompts differ by .30."
    )
    assert found["statements"].warnings == ()
    apart = [{**row, "dlp_size": 0.2} for row in statements]
    assert verdicts({"conditions": apart})[0].warnings == (
        "self-report prompts differ by .30 nats, more than statements move",
    )


def test_too_little_to_test_is_unknown_and_nothing_steered_is_said() -> None:
    metrics = earlier(simulated(7))
    uncontrolled = [row for row in metrics["differences"] if row["against"] == "no-change"]
    [verdict] = verdicts({**metrics, "differences": uncontrolled})
    assert verdict.outcome == "unknown"
    assert "no control was run" in verdict.effect
    few = [{**row, "personas": 2} for row in metrics["conditions"]]
    assert (
        verdicts({"conditions": few})[0].effect
        == "Whether steering has an effect is unknown: 2 personas, a test needs 3."
    )
    told = [row for row in metrics["conditions"] if row["condition"] == "no-change"]
    assert verdicts({"conditions": told})[0].effect == "Nothing was steered."
    assert verdicts({"conditions": [{**told[0], "condition": "ridge"}]}) == ()


def test_an_oracle_and_alpha_0_are_not_tested() -> None:
    metrics = simulated(8, 0.8)
    for setting in ("oracle", "0"):
        rows = [row | ({"setting": setting} if row["setting"] else {}) for row in metrics["conditions"]]
        assert verdicts({"conditions": rows})[0].effect == "Nothing was steered."


@pytest.mark.parametrize(("p", "words"), [(0.3, "not above chance, p = 0.300"), (1 / 21, "above chance, p = 0.048")])
def test_probes_are_told_beside_their_permutation_level(p: float, words: str) -> None:
    top = {"accuracy": 0.64, "level": 0.62, "p": p}
    level = {"top": top, "top_k": 24, "heads": 270, "permutations": 20}
    assert probes_finding(level) == f"24 best heads: .64, .62 with shuffled answers: {words} over 20 orders"
    assert at_chance(level) == (p > 0.05)
    assert probes_finding({**level, "heads": 24}).startswith("all 24 heads: ")


def test_numbers_in_sentences_are_short() -> None:
    numbers = (0.64, -0.034, -0.004, 1.5, -12.0, 0.0)
    assert [short(number) for number in numbers] == [".64", "-.03", ".00", "1.50", "-12.00", ".00"]
    assert bracketed(0.11, [0.06, 0.16]) == ".11 [.06, .16]"
    assert bracketed(0.11, None) == ".11"
    assert [listed(list(words)) for words in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
