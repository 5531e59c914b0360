import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.rows import LOGPROBS, SCHEMA, answer_rows, from_table, prediction_rows, to_table
from tests.evaluation.tables import item_frame, level_scores

ITEMS = item_frame(["i1", "i2", "i3"], "OON", ["Ideas", "Ideas", "Anger"], [1, -1, 1])
ANSWERS = [1.0, np.nan, 4.0]
UNITS = pd.DataFrame({"persona": ["p"], "condition": ["pas"], "setting": ["4"], "alpha": [4.0], "draw": [0]})


def rows(logprobs: np.ndarray, items: pd.DataFrame = ITEMS, agreements: object = ANSWERS) -> pd.DataFrame:
    """Of one unit, from log-probabilities [orders, items, 5]."""
    return answer_rows(
        UNITS.astype({"draw": np.int8}), items, np.array([agreements]), logprobs[None], level_scores(len(items))
    )


def test_option_orders_are_averaged_as_probabilities() -> None:
    rng = np.random.default_rng(0)
    letters = rng.dirichlet(np.ones(9), size=(2, 3))[:, :, :5]  # the other four are the rest of the vocabulary
    table = rows(np.log(letters))
    probability = (letters / letters.sum(axis=2, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(np.exp(table[list(LOGPROBS)]), probability)
    np.testing.assert_allclose(table["expected"], [sum(n * p for n, p in enumerate(row, 1)) for row in probability])
    assert table["argmax"].tolist() == [1 + int(np.argmax(row)) for row in probability]
    np.testing.assert_allclose(table["option_mass"], letters.sum(axis=2).mean(axis=0))
    assert set(table["option_orders"]) == {2}
    assert list(table) == list(SCHEMA)


def test_very_small_letters_are_no_trouble() -> None:
    logprobs = np.full((1, 3, 5), -2000.0)
    logprobs[..., 4] = -1990.0
    table = rows(logprobs)
    assert table["argmax"].tolist() == [5, 5, 5]
    assert np.isfinite(table["logprob_1"]).all()
    assert table["expected"].to_list() == pytest.approx([5.0] * 3, abs=1e-3)
    assert table["option_mass"].tolist() == [0, 0, 0]
    assert table["order_spread"].isna().all(), "one order has no spread"


def test_units_together_have_the_rows_that_each_has_alone() -> None:
    rng = np.random.default_rng(1)
    logprobs = np.log(rng.dirichlet(np.ones(6), size=(3, 2, 3))[..., :5])
    units = pd.concat([UNITS.assign(persona=name) for name in "abc"]).astype({"draw": np.int8})
    together = answer_rows(units, ITEMS, np.array([ANSWERS] * 3), logprobs, level_scores(len(ITEMS)))
    apart = [
        answer_rows(units.iloc[[n]], ITEMS, np.array([ANSWERS]), logprobs[[n]], level_scores(len(ITEMS)))
        for n in range(3)
    ]
    pd.testing.assert_frame_equal(together, pd.concat(apart, ignore_index=True), check_exact=True)


def test_parquet_gives_back_the_same_rows(tmp_path) -> None:
    table = pd.concat(
        [
            rows(np.log(np.full((1, 3, 5), 0.1))).assign(seed=7, note=list("abc")),
            prediction_rows(["p"], "constant-3", ITEMS, [ANSWERS], [[3, 2.5, 9]]).assign(seed=0, note="x"),
        ],
        ignore_index=True,
    )
    arrow = to_table(table)
    assert {field.name: str(field.type) for field in arrow.schema if field.name in SCHEMA} == {
        name: {"float64": "double"}.get(kind, kind) for name, kind in SCHEMA.items()
    }
    assert arrow.schema.metadata is None
    assert str(arrow.schema.field("note").type) == "string"
    assert arrow.column("agreement").null_count == 2
    assert arrow.column("logprob_3").null_count == arrow.column("option_mass").null_count == 3
    pq.write_table(arrow, tmp_path / "rows.parquet")
    again = from_table(pq.read_table(tmp_path / "rows.parquet"))
    assert list(again) == [*SCHEMA, "seed", "note"]
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert again["argmax"].tolist()[3:] == [3, 2, 5]
    assert to_table(again).equals(arrow)


@pytest.mark.parametrize("bad", [np.nan, -np.inf, 0.5])
def test_a_log_probability_that_is_none_is_refused(bad: float) -> None:
    logprobs = np.full((1, 3, 5), -2.0)
    logprobs[0, 1, 2] = bad
    with pytest.raises(InputError, match=r"persona 'p', condition 'pas', alpha 4: expected finite log-probabilities"):
        rows(logprobs)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected log-probabilities \[1, orders, 3, 5\]"):
        rows(np.zeros((1, 3, 4)))
    with pytest.raises(InputError, match=r"expected agreements \[1, 3\]"):
        rows(np.full((1, 3, 5), -2.0), agreements=[1.0])
    with pytest.raises(InputError, match=r"expected predictions \[1, 3\]"):
        prediction_rows(["p"], "constant-3", ITEMS, [ANSWERS], [[3, np.nan, 3]])
    with pytest.raises(InputError, match="found none called argmax"):
        to_table(rows(np.full((1, 3, 5), -2.0)).drop(columns="argmax"))


def test_rows_do_not_depend_on_the_memory_order_of_the_values() -> None:
    generator = np.random.default_rng(4)
    items = item_frame([f"i{n}" for n in range(40)], "O" * 40, "f" * 40, [1] * 40)
    values = np.log(generator.dirichlet(np.ones(6), (2, 40))[..., :5]).astype(np.float32)
    other = np.asfortranarray(values)
    assert other.strides != values.strides
    one, two = (rows(each, items, np.full(40, 4.0)) for each in (values, other))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
