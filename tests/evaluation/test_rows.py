import numpy as np
import pyarrow.parquet as pq
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.rows import (
    LOGPROBS,
    SCHEMA,
    RowItems,
    build_rows,
    concat_rows,
    from_table,
    prediction_rows,
    to_table,
)

ITEMS = RowItems(("i1", "i2", "i3"), ("O", "O", "N"), ("Ideas", "Ideas", "Anger"), np.array([1, -1, 1], np.int8))
ANSWERS = [1.0, np.nan, 4.0]


def rows(logprobs: np.ndarray, **changes: object) -> dict[str, np.ndarray]:
    arguments = {"persona": "p", "condition": "pas", "alpha": 4.0, "items": ITEMS, "agreements": ANSWERS} | changes
    return build_rows(level_logprobs=logprobs, **arguments)  # type: ignore[arg-type]


def test_option_orders_are_averaged_as_probabilities() -> None:
    rng = np.random.default_rng(0)
    letters = rng.dirichlet(np.ones(9), size=(2, 3))[:, :, :5]  # the other four are the rest of the vocabulary
    table = rows(np.log(letters))
    probability = (letters / letters.sum(axis=2, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(np.exp(np.stack([table[name] for name in LOGPROBS], axis=1)), probability)
    np.testing.assert_allclose(table["expected"], [sum(n * p for n, p in enumerate(row, 1)) for row in probability])
    assert table["argmax"].tolist() == [1 + int(np.argmax(row)) for row in probability]
    np.testing.assert_allclose(table["option_mass"], letters.sum(axis=2).mean(axis=0))
    assert set(table["option_orders"]) == {2}
    assert list(table) == list(SCHEMA)


def test_one_order_needs_no_axis_and_very_small_letters_are_no_trouble() -> None:
    logprobs = np.full((3, 5), -2000.0)
    logprobs[:, 4] = -1990.0
    table = rows(logprobs)
    assert table["argmax"].tolist() == [5, 5, 5]
    assert np.isfinite(table["logprob_1"]).all()
    assert table["expected"] == pytest.approx([5.0] * 3, abs=1e-3)
    assert table["option_mass"].tolist() == [0, 0, 0]
    for name, values in rows(logprobs[None]).items():
        np.testing.assert_array_equal(values, table[name])


def test_parquet_gives_back_the_same_rows(tmp_path) -> None:
    table = concat_rows(
        [
            rows(np.log(np.full((3, 5), 0.1)), extra={"seed": 7, "note": ["a", "b", "c"]}),
            prediction_rows(
                persona="p",
                condition="constant-3",
                items=ITEMS,
                agreements=ANSWERS,
                predictions=[3, 2.5, 9],
                extra={"seed": 0, "note": "x"},
            ),
        ]
    )
    arrow = to_table(table)
    assert {field.name: str(field.type) for field in arrow.schema if field.name in SCHEMA} == {
        name: {"float64": "double"}.get(kind, kind) for name, kind in SCHEMA.items()
    }
    assert arrow.column("agreement").null_count == 2
    assert arrow.column("logprob_3").null_count == arrow.column("option_mass").null_count == 3
    pq.write_table(arrow, tmp_path / "rows.parquet")
    again = from_table(pq.read_table(tmp_path / "rows.parquet"))
    assert list(again) == [*SCHEMA, "seed", "note"]
    for name, values in table.items():
        np.testing.assert_array_equal(again[name], values)
    assert again["argmax"].tolist()[3:] == [3, 2, 5]


@pytest.mark.parametrize("bad", [np.nan, -np.inf, 0.5])
def test_a_log_probability_that_is_none_is_refused(bad: float) -> None:
    logprobs = np.full((3, 5), -2.0)
    logprobs[1, 2] = bad
    with pytest.raises(InputError, match=r"persona 'p', condition 'pas', alpha 4: expected finite log-probabilities"):
        rows(logprobs)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected log-probabilities \[orders, 3, 5\]"):
        rows(np.zeros((3, 4)))
    with pytest.raises(InputError, match="expected 3 agreements"):
        rows(np.full((3, 5), -2.0), agreements=[1.0])
    with pytest.raises(InputError, match="extra column 'expected'"):
        rows(np.full((3, 5), -2.0), extra={"expected": 1})
    with pytest.raises(InputError, match="expected columns"):
        concat_rows([rows(np.full((3, 5), -2.0)), rows(np.full((3, 5), -2.0), extra={"seed": 1})])
    with pytest.raises(InputError, match="one length"):
        RowItems(("a",), ("O", "C"), ("f",), np.array([1], np.int8))
    with pytest.raises(InputError, match=r"keys \+1 or -1"):
        RowItems(("a",), ("O",), ("f",), np.array([0], np.int8))


def test_take_picks_items_in_the_order_asked_for() -> None:
    taken = ITEMS.take(np.array([2, 0]))
    assert (taken.ids, taken.traits, taken.facets) == (("i3", "i1"), ("N", "O"), ("Anger", "Ideas"))
    assert taken.keys.tolist() == [1, 1]


def test_rows_do_not_depend_on_the_memory_order_of_the_values() -> None:
    generator = np.random.default_rng(4)
    items = RowItems(("a",) * 40, ("O",) * 40, ("f",) * 40, np.ones(40, np.int8))
    values = np.log(generator.dirichlet(np.ones(6), (2, 40))[..., :5]).astype(np.float32)
    other = np.asfortranarray(values)
    assert other.strides != values.strides
    given = {"persona": "p", "condition": "pas", "alpha": 1.0, "items": items, "agreements": np.full(40, 4.0)}
    one, two = build_rows(level_logprobs=values, **given), build_rows(level_logprobs=other, **given)
    for name, column in one.items():
        np.testing.assert_array_equal(column, two[name])
