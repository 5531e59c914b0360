"""An answer is a letter or nothing, cells are dealt evenly, and the audit's numbers are those counted by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.audit import audit_rows, audit_table, choose_cells, parse_answer, parse_text
from pasctl.inventory import builtin_inventory

INVENTORY, LETTERS = builtin_inventory(), "ABCDE"
LABELS = INVENTORY.labels
NAN = np.nan


@pytest.mark.parametrize("letter", "ABCDE")
@pytest.mark.parametrize(
    "form", ["{}", "{}.", "{})", "{}:", "({})", "[{}]", "({}).", "({}):", "[{}]:", "[{}].", " {}", "\n{} \n"]
)
@pytest.mark.parametrize("label", [False, True])
def test_a_letter_is_an_answer_in_every_form_that_is_allowed(letter: str, form: str, label: bool) -> None:
    own = LABELS["ABCDE".index(letter)]
    text = form.format(letter)
    written = [f"{text} {own}", f"{text}\n{own.upper()}", f"{text}  {own.lower()} "] if label else [text]
    assert {parse_answer(each, LETTERS, LABELS) for each in written} == {letter}


@pytest.mark.parametrize("form", ["{}", "{}.", " {}\n", '"{}"', '"{}."', "“{}”"])
@pytest.mark.parametrize("names", [LABELS, ("I go at once.", "I wait. And see.", "I go")])
def test_a_text_is_an_answer_in_any_case_and_with_its_full_stop_or_without(form: str, names: tuple[str, ...]) -> None:
    for name in names:
        bare = name.removesuffix(".")
        assert {parse_text(form.format(written), names) for written in (bare, bare.upper())} == {name}
    assert parse_text("", names) is None
    assert parse_text(form.format(names[0]) + " or not", names) is None


@pytest.mark.parametrize("text", ["A.Very accurate", "(A)Very accurate", "A Very accurate", "A. Very  accurate"])
def test_a_label_may_follow_closely_where_the_letter_has_ended(text: str) -> None:
    assert parse_answer(text, LETTERS, LABELS) == "A"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            ".",
            "()",
            "a",
            "e.",
            "F",
            "1",
            "The",
            "Extremely",
            "Definitely",
            "A or B",
            "A, B",
            "A/B",
            "AB",
            "A B",
        ),
        *(
            "A. B",
            "A?",
            "A!",
            "A,",
            "A-",
            "A..",
            "A))",
            "(A))",
            "((A))",
            "(A",
            "A]",
            "[A",
            "(A]",
            "[A)",
            "( A )",
            "{A}",
        ),
        *("Answer: A", "The answer is A.", "I choose A", "**A**", "`A`", '"A"', "Very accurate", "AVery accurate"),
        *(
            "A. Very inaccurate",
            "B. Very accurate",
            "A. Very",
            "A. Very accurate.",
            "A. Very accurate B",
            "A. accurate",
        ),
        *("A. Very accurate because I do", "C. Neither accurate", "A\nB", "A. I make up stories", "A (Very accurate)"),
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    assert parse_answer(text, LETTERS, LABELS) is None


def test_cells_are_dealt_in_turn_without_replacement() -> None:
    chosen = choose_cells([50, 40, 60], 20, seed=1)
    assert len(set(chosen)) == 20
    assert sorted(Counter(group for group, _ in chosen).values()) == [6, 7, 7]
    assert all(0 <= cell < (50, 40, 60)[group] for group, cell in chosen)
    assert chosen == choose_cells([50, 40, 60], 20, seed=1) == sorted(chosen)
    assert chosen != choose_cells([50, 40, 60], 20, seed=2)
    assert set(chosen) < set(choose_cells([50, 40, 60], 33, seed=1))


def test_a_group_that_has_no_more_leaves_its_turn_to_others() -> None:
    chosen = choose_cells([2, 0, 9, 9], 13, seed=0)
    counts = Counter(group for group, _ in chosen)
    assert counts[0] == 2
    assert sorted([counts[2], counts[3]]) == [5, 6]
    assert counts[1] == 0


def test_all_cells_are_taken_if_there_are_no_more() -> None:
    every = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
    assert choose_cells([2, 0, 3], 5, seed=0) == choose_cells([2, 0, 3], 99, seed=0) == every
    assert choose_cells([2, 0, 3], 0, seed=0) == choose_cells([], 4, seed=0) == []


def test_every_cell_of_a_group_is_drawn_about_as_often() -> None:
    drawn = Counter(cell for seed in range(600) for _, cell in choose_cells([6], 2, seed))
    assert set(drawn) == set(range(6))
    assert all(150 <= count <= 250 for count in drawn.values())  # 200 expected, standard deviation 11.5


def some_cells() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "persona": np.array(["ada", "ada", "ada", "bob", "bob", "ada", "bob"], dtype=object),
            "condition": np.array(["pas", "pas", "pas", "pas", "pas", "no-change", "pas"], dtype=object),
            "setting": np.array(["4", "4", "4", "4", "4", "", "auto"], dtype=object),
            "alpha": np.array([4.0, 4.0, 4.0, 4.0, 4.0, 0.0, 2.0]),
            "item": np.array(["E01", "E02", "E03", "E01", "E02", "E01", "E01"], dtype=object),
            "agreement": np.array([5.0, 2.0, NAN, 4.0, 3.0, 1.0, NAN]),
            "argmax": np.array([5, 4, 1, 4, 2, 1, 3], dtype=np.int8),
            "expected": np.full(7, 3.0),
        }
    )


TEXTS = ["A", "(B) Moderately accurate", "A or B", "I am not sure", "C.", "E\n", "C"]


def test_letters_stand_for_levels_of_the_forward_order() -> None:
    rows = audit_rows(some_cells(), TEXTS, INVENTORY)
    assert list(rows) == [
        *("persona", "condition", "setting", "alpha", "item", "agreement", "argmax"),
        *("text", "answer"),
    ]
    np.testing.assert_array_equal(rows["answer"], [5, 4, NAN, NAN, 3, 1, 3])
    assert rows["text"].tolist() == TEXTS


def test_the_table_is_what_one_counts_by_hand() -> None:
    # pas 4: errors 0, 2, left out, worst case max(4 - 1, 5 - 4) = 3, 0; the fifth answer, 3, is not the argmax, 2
    assert audit_table(audit_rows(some_cells(), TEXTS, INVENTORY)) == [
        {"condition": "pas", "setting": "4", "answers": 5, "unparsed": 2, "mismatched": 1, "mae_worst": 1.25},
        {"condition": "no-change", "setting": "", "answers": 1, "unparsed": 0, "mismatched": 0, "mae_worst": 0.0},
        {"condition": "pas", "setting": "auto", "answers": 1, "unparsed": 0, "mismatched": 0, "mae_worst": None},
    ]


def test_the_worst_case_lies_at_the_farther_end_of_the_scale() -> None:
    cells = some_cells().iloc[[0] * 5].assign(agreement=np.arange(1.0, 6.0))
    [row] = audit_table(audit_rows(cells, ["?"] * 5, INVENTORY))
    assert row["mae_worst"] == pytest.approx((4 + 3 + 2 + 3 + 4) / 5)
    assert row["unparsed"] == 5
    assert row["mismatched"] == 0


def test_a_text_for_each_cell_is_expected() -> None:
    with pytest.raises(InputError, match="each of 7 cells, found 2"):
        audit_rows(some_cells(), ["A", "B"], INVENTORY)
