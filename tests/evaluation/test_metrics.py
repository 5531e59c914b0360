import json
import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr

from pasctl.errors import InputError
from pasctl.evaluation.metrics import acquiescence, condition_metrics, item_correlation, metrics_table
from pasctl.evaluation.rows import RowItems, build_rows, concat_rows

P, N = 6, 40
TRAITS = tuple("OCEAN"[n % 5] for n in range(N))
FACETS = tuple(f"facet-{n % 10}" for n in range(N))
KEYS = np.array([1 if (n // 10) % 2 else -1 for n in range(N)], np.int8)
ITEMS = RowItems(tuple(f"i{n}" for n in range(N)), TRAITS, FACETS, KEYS)


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
    found = condition_metrics(expected, argmax, agreements, ITEMS, np.full((P, N), 0.25))
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
    found = condition_metrics(agreements, agreements, agreements, ITEMS)
    assert found["composite"] == found["composite_argmax"] == 0
    assert set(found["trait_score_error"].values()) == {0}
    assert found["item_correlation"] == pytest.approx(1)
    assert found["acquiescence"] == found["acquiescence_person"]


def test_a_trait_nobody_answered_leaves_no_composite(answers: tuple) -> None:
    expected, argmax, agreements = answers
    agreements[:, [n for n in range(N) if TRAITS[n] != "E"]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no mean of an empty slice
        found = condition_metrics(expected, argmax, agreements, ITEMS)
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
    uneven = ITEMS.take([n for n in range(N) if KEYS[n] > 0 or n < 10 or n % 10 < 3])  # more + items than - items
    assert acquiescence(np.where(uneven.keys > 0, 4.0, 2.0)[None], uneven) == pytest.approx(3)


def test_acquiescence_skips_facets_with_one_key_only() -> None:
    items = RowItems(("a", "b", "c"), ("O", "O", "O"), ("f", "f", "g"), np.array([1, -1, 1], np.int8))
    assert acquiescence(np.array([[4.0, 3.0, 1.0]]), items) == 3.5
    assert acquiescence(np.array([[1.0]]), items.take([2])) is None


def long_rows(answers: tuple, condition: str, alpha: float, seed: int, **extra: object) -> list:
    _, _, agreements = answers
    rng = np.random.default_rng(seed)
    return [
        build_rows(
            persona=f"p{p}",
            condition=condition,
            alpha=alpha,
            items=ITEMS,
            agreements=agreements[p],
            level_logprobs=np.log(rng.dirichlet(np.ones(6), size=N)[:, :5]),
            extra=extra,
        )
        for p in range(P)
    ]


def test_a_table_has_one_entry_per_condition_and_alpha_whatever_the_order_of_rows(answers: tuple) -> None:
    blocks = {("no-change", 0.0): 1, ("pas", 2.0): 2, ("pas", 4.0): 3}
    rows = concat_rows(part for key, seed in blocks.items() for part in long_rows(answers, *key, seed=seed))
    table = metrics_table(rows)
    assert [(entry["condition"], entry["alpha"]) for entry in table] == list(blocks)
    assert {(entry["personas"], entry["items"]) for entry in table} == {(P, N)}
    for entry in table:
        mine = (rows["condition"] == entry["condition"]) & (rows["alpha"] == entry["alpha"])
        dense = {name: rows[name][mine].reshape(P, N).astype(float) for name in ("expected", "argmax", "agreement")}
        direct = condition_metrics(dense["expected"], dense["argmax"], dense["agreement"], ITEMS)
        assert entry["composite"] == pytest.approx(direct["composite"])
        assert entry["acquiescence"] == pytest.approx(direct["acquiescence"])
        assert entry["option_mass"] == pytest.approx(rows["option_mass"][mine].mean())
    order = np.random.default_rng(5).permutation(len(rows["item"]))
    shuffled = {name: values[order] for name, values in rows.items()}
    by_key = {(entry["condition"], entry["alpha"]): entry for entry in metrics_table(shuffled)}
    for entry in table:
        again = by_key[entry["condition"], entry["alpha"]]
        assert again["composite"] == pytest.approx(entry["composite"])
        assert again["item_correlation"] == pytest.approx(entry["item_correlation"])
        assert again["acquiescence"] == pytest.approx(entry["acquiescence"])
    json.dumps(table, allow_nan=False)


def test_two_answers_of_a_persona_to_an_item_are_refused_unless_a_column_tells_them_apart(answers: tuple) -> None:
    rows = concat_rows(long_rows(answers, "pas", 4.0, 1, seed_used=1) + long_rows(answers, "pas", 4.0, 2, seed_used=2))
    with pytest.raises(InputError, match="one row per persona and item"):
        metrics_table(rows)
    assert [entry["seed_used"] for entry in metrics_table(rows, ("condition", "alpha", "seed_used"))] == [1, 2]
