import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from pasctl.errors import InputError
from pasctl.evaluation.metrics import item_correlation, metrics_table
from pasctl.evaluation.rows import Rows, answer_rows
from tests.evaluation.tables import item_frame, level_scores, metrics_of, predicted

P, N = 6, 40
TRAITS = tuple("OCEAN"[n % 5] for n in range(N))
FACETS = tuple(f"facet-{n % 10}" for n in range(N))
KEYS = np.array([1 if (n // 10) % 2 else -1 for n in range(N)], np.int8)
ITEMS = item_frame([f"i{n}" for n in range(N)], TRAITS, FACETS, KEYS)


def acquiescence(answers: np.ndarray, items: pd.DataFrame) -> float | None:
    return metrics_of(np.full(answers.shape, 3.0), None, answers, items)["acquiescence_person"]


def cronbach_alpha(answers: np.ndarray, items: pd.DataFrame) -> dict[str, float | None]:
    return metrics_of(np.full(answers.shape, 3.0), None, answers, items)["cronbach_alpha_person"]


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected and argmax of a model, agreements with gaps, all [P, N]."""
    rng = np.random.default_rng(0)
    agreements = rng.integers(1, 6, size=(P, N)).astype(float)
    expected = np.clip(agreements + rng.normal(size=(P, N)), 1, 5)
    agreements[rng.random((P, N)) < 0.15] = np.nan
    agreements[1, [n for n in range(N) if TRAITS[n] == "E"]] = np.nan  # one person skipped a whole trait
    return expected, np.round(expected), agreements


def test_equals_naive_loops(answers: tuple) -> None:
    expected, argmax, agreements = answers
    found = metrics_of(expected, argmax, agreements, ITEMS, 0.25)
    total = 0.0
    for trait in "OCEAN":
        errors, argmax_errors, gaps = [], [], []
        for p in range(P):
            of = [n for n in range(N) if TRAITS[n] == trait and not np.isnan(agreements[p, n])]
            if not of:
                continue
            errors.append(sum(abs(expected[p, n] - agreements[p, n]) for n in of) / len(of))
            argmax_errors.append(sum(abs(argmax[p, n] - agreements[p, n]) for n in of) / len(of))
            reverse = {1: lambda value: value, -1: lambda value: 6 - value}
            model = sum(reverse[KEYS[n]](expected[p, n]) for n in of) / len(of)
            gaps.append(abs(model - sum(reverse[KEYS[n]](agreements[p, n]) for n in of) / len(of)))
        assert len(errors) == (P - 1 if trait == "E" else P)
        assert found["mae"][trait] == pytest.approx(sum(errors) / len(errors))
        assert found["mae_argmax"][trait] == pytest.approx(sum(argmax_errors) / len(errors))
        assert found["trait_score_error"][trait] == pytest.approx(sum(gaps) / len(gaps))
        total += sum(errors) / len(errors)
    assert found["composite"] == pytest.approx(total)
    assert found["traits"] == list("OCEAN")
    assert found["option_mass"] == 0.25
    keep = ~np.isnan(agreements)
    r = [pearsonr(expected[p][keep[p]], agreements[p][keep[p]]).statistic for p in range(P)]
    assert found["item_correlation"] == pytest.approx(np.mean(r))


def test_a_perfect_model_has_no_error_and_correlates_fully(answers: tuple) -> None:
    _, _, agreements = answers
    found = metrics_of(agreements, agreements, agreements, ITEMS)
    assert found["composite"] == found["composite_argmax"] == 0
    assert set(found["trait_score_error"].values()) == {0}
    assert found["item_correlation"] == pytest.approx(1)
    assert found["acquiescence"] == found["acquiescence_person"]


def test_a_trait_nobody_answered_leaves_no_composite(answers: tuple) -> None:
    expected, argmax, agreements = answers
    agreements[:, [n for n in range(N) if TRAITS[n] != "E"]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no mean of an empty slice
        found = metrics_of(expected, argmax, agreements, ITEMS)
    assert found["traits"] == ["E"]
    assert found["composite"] is None
    assert found["mae"]["O"] is None
    assert found["mae"]["E"] > 0
    json.dumps(found, allow_nan=False)


def test_correlation_leaves_out_the_constant_and_the_few() -> None:
    agreements = np.array([[1.0, 2, 3, 4], [3, 3, 3, 3], [1, 5, np.nan, np.nan], [4, 3, 2, 1]])
    ramp = np.arange(4.0)[None].repeat(4, axis=0)
    assert item_correlation(ramp, agreements) == pytest.approx(0)  # +1 of the first and -1 of the last
    assert item_correlation(np.full((4, 4), 3.0), agreements) is None


def test_acquiescence_is_the_letter_not_the_trait() -> None:
    """Keyed answers of any height average out; a yes to everything does not."""
    rng = np.random.default_rng(1)
    height = rng.uniform(1, 5, size=(P, 10))[:, [n % 10 for n in range(N)]]
    honest = np.where(KEYS > 0, height, 6 - height)
    assert acquiescence(honest, ITEMS) == pytest.approx(3)
    assert acquiescence(honest + 0.5, ITEMS) == pytest.approx(3.5)
    assert acquiescence(np.full((P, N), 5.0), ITEMS) == 5
    uneven = ITEMS.iloc[[n for n in range(N) if KEYS[n] > 0 or n < 10 or n % 10 < 3]]  # more + items than - items
    assert acquiescence(np.where(uneven["key"].to_numpy() > 0, 4.0, 2.0)[None], uneven) == pytest.approx(3)


def test_acquiescence_skips_facets_with_one_key_only() -> None:
    items = item_frame("abc", "OOO", "ffg", [1, -1, 1])
    assert acquiescence(np.array([[4.0, 3.0, 1.0]]), items) == 3.5
    assert acquiescence(np.array([[1.0]]), items.iloc[[2]]) is None


def trait_score(answers: np.ndarray, trait: str) -> list[float]:
    """Each persona's mean keyed answer to the items of a trait, NaN without any."""
    scores = []
    for row in answers:
        of = [row[n] if KEYS[n] > 0 else 6 - row[n] for n in range(N) if TRAITS[n] == trait and not np.isnan(row[n])]
        scores.append(sum(of) / len(of) if of else np.nan)
    return scores


def test_rank_correlation_is_scipys_of_the_trait_scores(answers: tuple) -> None:
    expected, argmax, agreements = answers
    for given in (expected, argmax):  # whole answers give ties
        found = metrics_of(given, argmax, agreements, ITEMS)
        for trait in "OCEAN":
            pairs = [trait_score(each, trait) for each in (given, agreements)]
            r = spearmanr(*pairs, nan_policy="omit").statistic
            assert found["rank_correlation"][trait] == pytest.approx(r)
        assert found["rank_correlation_mean"] == pytest.approx(np.mean(list(found["rank_correlation"].values())))


def test_ranks_of_equal_scores_are_shared_and_order_is_all_that_counts() -> None:
    items = item_frame("ab", "OO", "ff", [1, -1])

    def rho(model: list[float], person: list[float]) -> float | None:
        # the same score from both items, once reversed
        model_answers, person_answers = (np.array([[v, 6 - v] for v in each]) for each in (model, person))
        return metrics_of(model_answers, None, person_answers, items)["rank_correlation"]["O"]

    assert rho([1.0, 1.1, 1.2, 5.0], [2.0, 3.0, 4.0, 4.5]) == pytest.approx(1)
    assert rho([5.0, 4.0, 3.0], [1.0, 2.0, 2.5]) == pytest.approx(-1)
    assert rho([1.0, 2.0, 2.0, 3.0], [1.0, 3.0, 2.0, 4.0]) == pytest.approx(spearmanr([1, 2, 2, 3], [1, 3, 2, 4])[0])
    assert rho([2.0, 2.0 + 1e-15, 2.0], [1.0, 2.0, 3.0]) is None  # equal but for rounding errors
    assert rho([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]) is None
    assert rho([1.0, 2.0], [1.0, 2.0]) is None
    assert rho([1.0, 2.0, 3.0], [1.0, np.nan, 2.0]) is None


def test_a_model_that_answers_everybody_alike_has_no_rank_correlation_whatever_is_missing(answers: tuple) -> None:
    """Its score is over all items: over a person's answered ones it would differ by what the person left out."""
    _, _, agreements = answers
    alike = np.random.default_rng(3).uniform(1, 5, N)[None].repeat(P, axis=0)
    found = metrics_of(alike, np.round(alike), agreements, ITEMS)
    assert set(found["rank_correlation"].values()) == {None}
    assert found["rank_correlation_mean"] is None
    assert set(found["cronbach_alpha"].values()) == {None}


def test_cronbach_alpha_equals_its_definition(answers: tuple) -> None:
    expected, _, agreements = answers
    agreements = agreements.copy()
    agreements[:4] = np.nan_to_num(agreements[:4], nan=2.0)
    agreements[4:, :5] = np.nan  # a gap in every trait: these personas are left out
    for values, rows in ((expected, range(P)), (agreements, range(4))):
        found = cronbach_alpha(values, ITEMS)
        for trait in "OCEAN":
            of = [n for n in range(N) if TRAITS[n] == trait]
            scores = [[values[p, n] if KEYS[n] > 0 else 6 - values[p, n] for n in of] for p in rows]
            covariance = np.cov(np.array(scores).T)
            k = len(of)
            # the other form: k / (k - 1) times the share of the total variance that is covariance between items
            between = covariance.sum() - np.trace(covariance)
            assert found[trait] == pytest.approx(k / (k - 1) * between / covariance.sum())


def test_cronbach_alpha_of_what_is_known() -> None:
    rng = np.random.default_rng(4)
    height = rng.uniform(1, 5, (50, 1))
    honest = np.where(KEYS > 0, height, 6 - height)
    assert set(np.round(list(cronbach_alpha(honest, ITEMS).values()), 9)) == {1.0}
    yes = height.repeat(N, axis=1)  # agreeing whatever the item says: the keys take it apart
    assert all(value is None or value < 0.1 for value in cronbach_alpha(yes, ITEMS).values())
    # parallel items of correlation r: Spearman and Brown's k r / (1 + (k - 1) r)
    k, r = 8, 0.3
    scores = np.sqrt(r) * rng.normal(size=(20_000, 1)) + np.sqrt(1 - r) * rng.normal(size=(20_000, N))
    alpha = cronbach_alpha(np.where(KEYS > 0, scores, 6 - scores), ITEMS)
    assert alpha["O"] == pytest.approx(k * r / (1 + (k - 1) * r), abs=0.01)
    one = ITEMS.iloc[[0]]
    assert cronbach_alpha(rng.random((9, 1)), one)["O"] is None
    assert cronbach_alpha(honest[:1], ITEMS)["O"] is None


def long_rows(answers: tuple, condition: str, alpha: float, seed: int) -> Rows:
    _, _, agreements = answers
    rng = np.random.default_rng(seed)
    units = pd.DataFrame(
        {
            "persona": [f"p{p}" for p in range(P)],
            "condition": condition,
            "setting": f"{alpha:g}" if condition == "pas" else "",
            "alpha": alpha,
            "draw": 0,
        }
    )
    return answer_rows(
        units, ITEMS, agreements, np.log(rng.dirichlet(np.ones(6), size=(P, 1, N))[..., :5]), level_scores(N)
    )


def test_a_table_has_one_entry_per_condition_and_alpha_whatever_the_order_of_rows(answers: tuple) -> None:
    blocks = {("no-change", 0.0): 1, ("pas", 2.0): 2, ("pas", 4.0): 3}
    rows = pd.concat([long_rows(answers, *key, seed=seed) for key, seed in blocks.items()], ignore_index=True)
    table = metrics_table(rows)
    assert [(entry["condition"], entry["alpha"]) for entry in table] == list(blocks)
    assert {(entry["personas"], entry["items"]) for entry in table} == {(P, N)}
    for entry in table:
        mine = rows[(rows["condition"] == entry["condition"]) & (rows["alpha"] == entry["alpha"])]
        dense = [mine[name].to_numpy(dtype=float).reshape(P, N) for name in ("expected", "argmax", "agreement")]
        direct = metrics_of(*dense, ITEMS)
        assert entry["composite"] == pytest.approx(direct["composite"])
        assert entry["acquiescence"] == pytest.approx(direct["acquiescence"])
        assert entry["item_correlation"] == pytest.approx(item_correlation(dense[0], dense[2]))
        assert entry["option_mass"] == pytest.approx(mine["option_mass"].mean())
    again = {
        (entry["condition"], entry["alpha"]): entry for entry in metrics_table(rows.sample(frac=1, random_state=5))
    }
    for entry in table:
        other = again[entry["condition"], entry["alpha"]]
        for name in ("composite", "item_correlation", "acquiescence", "composite_interval", "cronbach_alpha_person"):
            assert other[name] == pytest.approx(entry[name])
    json.dumps(table, allow_nan=False)


def test_a_metric_that_one_draw_lacks_is_none(answers: tuple) -> None:
    expected, _, agreements = answers
    flat = np.full((P, N), 3.0)
    rows = [predicted(ITEMS, each, agreements).assign(draw=draw) for draw, each in enumerate((expected, flat))]
    [found] = metrics_table(pd.concat(rows))
    assert found["draws"] == 2
    assert found["item_correlation"] is found["item_correlation_interval"] is found["rank_correlation"]["O"] is None
    apart = [metrics_of(each, None, agreements, ITEMS)["composite"] for each in (expected, flat)]
    assert found["draw_composites"] == pytest.approx(apart)
    assert found["composite"] == pytest.approx(np.mean(apart))


def test_two_answers_of_a_persona_to_an_item_are_refused_unless_a_column_tells_them_apart(answers: tuple) -> None:
    rows = pd.concat([long_rows(answers, "pas", 4.0, seed).assign(seed_used=seed) for seed in (1, 2)])
    with pytest.raises(InputError, match="one row per persona and item"):
        metrics_table(rows)
    assert [entry["seed_used"] for entry in metrics_table(rows, ("condition", "setting", "seed_used"))] == [1, 2]
