"""Answers are read as what they are: keyed scores, reversed items and mixed files are refused from every source."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pasctl.errors import InputError
from pasctl.inventory import (
    PersonaSet,
    builtin_inventory,
    load_inventory,
    load_personas,
    papi_personas,
    resolve_personas,
)
from pasctl.inventory.answer_sums import AnswerSums, FloatArray
from pasctl.inventory.coding import FEWEST_RESPONDENTS, unkeyed
from pasctl.inventory.consistency import item_totals, key_halves
from pasctl.inventory.papi import stored_answers
from pasctl.inventory.persona_file import HELD, PersonaFile
from pasctl.inventory.proof import STRETCH, STRETCHES, Evidence, reads_keyed, stretches
from pasctl.inventory.simulate import CLEAR, GradedResponse, simulate
from tests.inventory.answer_files import FORMS, as_json, as_parquet, names
from tests.inventory.papi_files import answers, write_folder

INVENTORY = builtin_inventory()
COLUMN = INVENTORY.position
BY_FORM = pytest.mark.parametrize("write", FORMS.values(), ids=FORMS)
Write = Callable[[Path, FloatArray, object], str]


def people(count: int, seed: int = 0, model: GradedResponse | None = CLEAR) -> FloatArray:
    return simulate(INVENTORY, count, seed, model).agreements.copy()


def reverse(values: FloatArray, *items: str) -> FloatArray:
    columns = [COLUMN[item] for item in items]
    values = values.copy()
    values[:, columns] = 6 - values[:, columns]
    return values


def verdict(values: FloatArray, coding: str = "auto") -> str:
    """The refusal of some answers, or "" for none."""
    try:
        reads_keyed(Evidence.of(values), INVENTORY, coding, "file", lambda text: None)
    except InputError as error:
        return str(error)
    return ""


def told(values: FloatArray, coding: str = "auto") -> str:
    """What is noted about some answers."""
    lines: list[str] = []
    reads_keyed(Evidence.of(values), INVENTORY, coding, "file", lines.append)
    assert not any("\n" in line for line in lines)
    return "\n".join(lines)


# ----- every source


@BY_FORM
def test_keyed_scores_are_refused_with_both_figures_and_the_way_out(tmp_path: Path, write: Write) -> None:
    spec = write(tmp_path, unkeyed(people(24), INVENTORY), INVENTORY)
    with pytest.raises(InputError, match=r"same-keyed .* \+0\.\d\d, opposite-keyed at \+0\.\d\d \(24 resp") as caught:
        load_personas(spec, INVENTORY)
    assert Path(spec).name in str(caught.value)
    assert "--coding keyed" in str(caught.value.hint)


@BY_FORM
def test_coding_keyed_gives_the_agreements_of_the_same_people(tmp_path: Path, write: Write) -> None:
    values = people(24)
    values[3, 5] = values[9, 50] = np.nan
    right = load_personas(write(tmp_path, values, INVENTORY), INVENTORY)
    keyed = load_personas(write(tmp_path, unkeyed(values, INVENTORY), INVENTORY), INVENTORY, coding="keyed")
    assert np.array_equal(right.agreements, values, equal_nan=True)
    assert (keyed.digest, keyed.coding) == (right.digest, "agreement")


@BY_FORM
def test_coding_keyed_is_refused_for_agreements(tmp_path: Path, write: Write) -> None:
    spec = write(tmp_path, people(24), INVENTORY)
    with pytest.raises(InputError, match=r"expects keyed scores, the answers are agreements.*opposite-keyed at -0"):
        load_personas(spec, INVENTORY, coding="keyed")
    assert len(load_personas(spec, INVENTORY, coding="agreement")) == 24


@BY_FORM
def test_the_users_word_takes_what_is_there_and_a_contradiction_is_noted(tmp_path: Path, write: Write) -> None:
    values, lines = unkeyed(people(24), INVENTORY), list[str]()
    found = load_personas(write(tmp_path, values, INVENTORY), INVENTORY, coding="agreement", note=lines.append)
    assert np.array_equal(found.agreements, values)
    assert any("look like keyed scores" in line for line in lines)


def test_sets_that_a_program_hands_over_are_proven_too() -> None:
    def given(values: FloatArray, coding: str = "agreement") -> PersonaSet:
        return PersonaSet("mine", tuple(names(values)), values, coding)

    values = people(24)
    keyed = unkeyed(values, INVENTORY)
    with pytest.raises(InputError, match="personas mine: agreements are expected"):
        resolve_personas(given(keyed), INVENTORY)
    assert resolve_personas(given(keyed), INVENTORY, coding="keyed").digest == given(values).digest
    published = given(keyed, "as-published")
    assert resolve_personas(published, INVENTORY) is published
    with pytest.raises(InputError, match="answer 59 items, inventory builtin has 60"):
        resolve_personas(given(values[:, 1:]), INVENTORY)


def test_a_selection_is_proven_by_the_whole_file(tmp_path: Path) -> None:
    spec = as_parquet(tmp_path, unkeyed(people(100), INVENTORY), INVENTORY)
    with pytest.raises(InputError, match=r"\(100 respondents\)"):
        load_personas(f"{spec}:0-2", INVENTORY)
    assert (
        load_personas(f"{spec}:0-2", INVENTORY, coding="keyed").digest
        == PersonaSet("x", ("r0", "r1"), people(100)[:2]).digest
    )


def test_a_large_file_is_proven_and_reversed_as_it_is_read(tmp_path: Path) -> None:
    """A sample from the whole file shows keyed scores in its middle; what is read is never reversed twice."""
    many = HELD + 200
    values = people(many)
    spec = as_parquet(tmp_path, unkeyed(values, INVENTORY), INVENTORY)
    found = resolve_personas(spec, INVENTORY, coding="keyed")
    assert isinstance(found, PersonaFile)
    right = PersonaSet("x", tuple(names(values)), values)
    assert found.digest == right.digest == found.whole().digest
    assert next(found.parts([(700, 710)])).digest == right.subset(range(700, 710)).digest
    gap = np.array([3])
    assert found.without(gap).digest == right.without(gap).digest
    with pytest.raises(InputError, match="keyed scores"):
        resolve_personas(spec, INVENTORY)


@pytest.mark.parametrize("count", [1, 49, 50, 99, 400, 8192, 8200, 1_000_000])
def test_stretches_are_bounded_and_come_from_all_of_the_file(count: int) -> None:
    spans = stretches(count)
    rows = sum(stop - start for start, stop in spans)
    assert rows == min(count, STRETCHES * STRETCH)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert spans[0][0] == 0
    assert spans[-1][1] > count * (1 - 1 / STRETCHES)
    assert count < 100 or min(stop - start for start, stop in spans) >= 50


# ----- parts of a file


@BY_FORM
def test_reversed_items_are_named(tmp_path: Path, write: Write) -> None:
    spec = write(tmp_path, reverse(people(24), "O04", "E07", "N11"), INVENTORY)
    with pytest.raises(InputError, match=r"O04 \(-0\.\d\d\), E07 \(-0\.\d\d\), N11 \(-0\.\d\d\)") as caught:
        load_personas(spec, INVENTORY)
    assert "6 minus the answer" in str(caught.value.hint)
    assert len(load_personas(spec, INVENTORY, coding="agreement")) == 24


def test_reversed_items_of_a_keyed_file_are_named_under_coding_keyed() -> None:
    values = reverse(unkeyed(people(60), INVENTORY), "C03")
    assert re.search(r"trait.*: C03 \(-0\.\d\d\) \(corr", verdict(values, "keyed"))


@pytest.mark.parametrize("trait", "OCEAN")
def test_one_trait_that_is_stored_keyed_is_named(trait: str) -> None:
    """The mean over all pairs still says agreements, and no item stands out: half of the trait's are wrong."""
    values = people(24)
    keyed = np.where(np.array(INVENTORY.traits) == trait, unkeyed(values, INVENTORY), values)
    assert re.search(rf"for trait {trait} \(\+0\.\d\d\)", verdict(keyed))


@pytest.mark.parametrize("first", [100, 300, 360])
def test_rows_of_another_coding_are_found(first: int) -> None:
    values = people(400)
    mixed = np.concatenate([values[:first], unkeyed(values[first:], INVENTORY)])
    assert re.search(r"respondents of rows \d+-\d+|agreements are expected", verdict(mixed))


def test_a_large_file_whose_end_is_keyed_is_refused(tmp_path: Path) -> None:
    values = people(9000)
    mixed = np.concatenate([values[:7900], unkeyed(values[7900:], INVENTORY)])
    with pytest.raises(InputError, match="rows 7875-8899 are stored as keyed scores"):
        load_personas(as_parquet(tmp_path, mixed, INVENTORY), INVENTORY)


# ----- rates


MODELS = (CLEAR, GradedResponse(), GradedResponse(discrimination=1.0), GradedResponse(acquiescence=1.2))


@pytest.mark.parametrize("count", [24, 100])
@pytest.mark.parametrize("model", MODELS)
def test_correct_answers_are_not_refused(count: int, model: GradedResponse) -> None:
    refused = [verdict(people(count, seed, model)) for seed in range(40)]
    assert sum(map(bool, refused)) <= 1, refused
    keyed = [verdict(unkeyed(people(count, seed, model), INVENTORY), "keyed") for seed in range(40)]
    assert list(map(bool, keyed)) == list(map(bool, refused))


@pytest.mark.parametrize("count", [24, 100])
@pytest.mark.parametrize("model", MODELS)
def test_keyed_scores_are_refused_at_every_size(count: int, model: GradedResponse) -> None:
    for seed in range(40):
        assert "keyed scores" in verdict(unkeyed(people(count, seed, model), INVENTORY))


def test_unrelated_answers_rarely_look_reversed() -> None:
    """Once in a hundred for the items and once for the traits, as the limit is set; four standard errors above that."""
    rng = np.random.default_rng(0)
    refused = sum(bool(verdict(rng.integers(1, 6, (50, len(INVENTORY))).astype(float))) for _ in range(200))
    assert refused <= 0.02 * 200 + 4 * np.sqrt(0.02 * 200)


@pytest.mark.parametrize(("count", "model"), [(24, CLEAR), (100, GradedResponse()), (200, GradedResponse())])
def test_three_reversed_items_of_sixty_are_named_alone(count: int, model: GradedResponse) -> None:
    rng = np.random.default_rng(1)
    exact = 0
    for seed in range(40):
        items = {INVENTORY.items[place].id for place in rng.choice(60, 3, replace=False)}
        refusal = verdict(reverse(people(count, seed, model), *items))
        exact += set(re.findall(r"\b([OCEAN]\d\d) \(", refusal)) == items
    assert exact >= 36


# ----- figures


def totals_by_pandas(values: FloatArray) -> list[float]:
    """Each item's correlation with the sum of the trait's other items, from a table of keyed scores."""
    table = pd.DataFrame(unkeyed(values, INVENTORY), columns=list(COLUMN))
    found = []
    for item in INVENTORY.items:
        others = [each.id for each in INVENTORY.items if each.trait == item.trait and each is not item]
        found.append(table[item.id].corr(table[others].sum(axis=1)))
    return found


def test_item_totals_equal_pandas_on_complete_answers() -> None:
    values = people(40, model=GradedResponse())
    totals = item_totals(AnswerSums.of(values), INVENTORY, keyed=False)
    assert totals.r == pytest.approx(totals_by_pandas(values), abs=1e-12)
    assert totals.n.tolist() == [40] * 60
    same = item_totals(AnswerSums.of(unkeyed(values, INVENTORY)), INVENTORY, keyed=True)
    assert same.r == pytest.approx(totals.r, abs=1e-12)


def test_item_totals_with_gaps_follow_from_the_covariances_of_pandas() -> None:
    values = people(60, model=GradedResponse())
    values[np.random.default_rng(0).random(values.shape) < 0.2] = np.nan
    values[:, COLUMN["A02"]] = np.nan  # nobody answers it
    table = pd.DataFrame(unkeyed(values, INVENTORY), columns=list(COLUMN)).drop(columns="A02")
    c = table.cov()
    totals = item_totals(AnswerSums.of(values), INVENTORY, keyed=False)
    for item in INVENTORY.items:
        others = [each.id for each in INVENTORY.items if each.trait == item.trait and each.id not in ("A02", item.id)]
        if item.id == "A02":
            assert np.isnan(totals.r[COLUMN["A02"]])
            continue
        r = c.loc[item.id, others].sum() / np.sqrt(c.loc[item.id, item.id] * c.loc[others, others].to_numpy().sum())
        assert totals.r[COLUMN[item.id]] == pytest.approx(r, abs=1e-12)
        present = table.notna().astype(int)
        assert totals.n[COLUMN[item.id]] == min((present[item.id] * present[other]).sum() for other in others)


@pytest.mark.parametrize("keyed", [False, True])
def test_key_halves_equal_the_correlation_of_what_a_regression_on_acquiescence_leaves(keyed: bool) -> None:
    values = people(40, model=GradedResponse(acquiescence=0.8))
    stored = unkeyed(values, INVENTORY) if keyed else values
    traits, halves = key_halves(AnswerSums.of(stored), INVENTORY, keyed=keyed)
    table = pd.DataFrame(values, columns=list(COLUMN))
    mean = {
        (trait, key): table[[i.id for i in INVENTORY.items if (i.trait, i.key) == (trait, key)]].mean(axis=1)
        for trait in "OCEAN"
        for key in (1, -1)
    }
    assert traits == tuple(dict.fromkeys(INVENTORY.traits))
    for trait, r in zip(traits, halves.r, strict=True):
        others = sum(half for (other, _), half in mean.items() if other != trait)
        design = np.stack([np.ones(40), others], axis=1)
        left = [mean[trait, key] - design @ np.linalg.lstsq(design, mean[trait, key], rcond=None)[0] for key in (1, -1)]
        assert r == pytest.approx(-np.corrcoef(*left)[0, 1], abs=1e-12)


def test_parts_add_up_to_the_whole_exactly() -> None:
    values = people(90)
    values[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    whole = AnswerSums.of(values)
    cut = AnswerSums.of(values[:17]) + AnswerSums.of(values[17:17]) + AnswerSums.of(values[17:])
    for name in ("respondents", "lowest", "highest", "count", "total", "square", "product"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name)), name
    assert np.allclose(whole.covariances(), pd.DataFrame(values).cov(), atol=1e-12)


# ----- what is said


@BY_FORM
def test_too_few_respondents_are_said_in_one_line(tmp_path: Path, write: Write) -> None:
    lines: list[str] = []
    spec = write(tmp_path, people(FEWEST_RESPONDENTS - 1), INVENTORY)
    assert len(load_personas(spec, INVENTORY, note=lines.append)) == FEWEST_RESPONDENTS - 1
    assert len(lines) == 1
    assert "19 respondents, too few to prove the coding" in lines[0]
    lines.clear()
    load_personas(write(tmp_path, people(FEWEST_RESPONDENTS), INVENTORY), INVENTORY, note=lines.append)
    assert lines == []


def test_what_cannot_be_proven_is_said_and_not_refused() -> None:
    lines = told(np.random.default_rng(0).permuted(people(60), axis=0))
    assert "the coding cannot be proven, taken as agreements (keyed scores need --coding keyed): same-keyed" in lines


def test_one_reversed_item_is_noted_where_chance_could_do_it() -> None:
    """Below 0 by what chance gives one of 60 items in a few files, not in a few hundred."""
    values = people(24, 5, GradedResponse())
    r = item_totals(AnswerSums.of(values), INVENTORY, keyed=False).r
    weak = [item.id for item, each in zip(INVENTORY.items, r, strict=True) if 0.5 < each < 0.6]
    lines = told(reverse(values, weak[0]))
    assert re.search(rf"items that may be reversed.*: {weak[0]} \(-0\.5\d\)", lines)


@BY_FORM
@pytest.mark.parametrize(
    ("points", "line"),
    [
        (4, "nobody of 24 chose 5: if the scale has 4 points, store 1, 2, 3, 4 as 1, 2, 4, 5"),
        (3, "nobody of 24 chose 4 or 5: if the scale has 3 points, store 1, 2, 3 as 1, 3, 5"),
    ],
)
def test_a_shorter_scale_is_noted(tmp_path: Path, write: Write, points: int, line: str) -> None:
    lines: list[str] = []
    shorter = np.rint(1 + (people(24) - 1) * (points - 1) / 4)
    load_personas(write(tmp_path, shorter, INVENTORY), INVENTORY, note=lines.append)
    assert [each for each in lines if line in each]


def test_a_scale_that_begins_later_or_lies_upside_down_is_noted() -> None:
    assert "nobody of 30 chose 1" in told(np.maximum(people(30), 2))
    desirable = people(50, model=GradedResponse())
    assert told(desirable) == ""
    assert "if 1 is full agreement here, store 6 minus each answer" in told(6 - desirable)
    assert "if 1 is full agreement here" in told(6 - unkeyed(desirable, INVENTORY), "keyed")
    for seed in range(40):
        assert told(people(60, seed)) == ""


def test_items_that_say_nothing_are_noted() -> None:
    values = people(30)
    values[:, [COLUMN["O01"], COLUMN["N12"]]] = np.nan
    values[:, COLUMN["E05"]] = 3
    lines = told(values)
    assert "2 of 60 items have no answer: O01, N12" in lines
    assert "1 of 60 items have the same answer from everybody: E05" in lines


# ----- PAPI


def test_reversed_items_of_a_papi_folder_are_named(tmp_path: Path) -> None:
    values = answers(200, keyed=True)
    values[:, 7] = 6 - values[:, 7]
    folder = write_folder(tmp_path / "one", values)
    with pytest.raises(InputError, match=r"reversed ones do: i8 \(-0\.\d\d\)"):
        papi_personas(folder)


def test_real_answers_pass_the_proof_in_silence(papi_folder: Path) -> None:
    lines: list[str] = []
    assert len(papi_personas(papi_folder, note=lines.append)) == 200
    assert lines == []


@pytest.mark.parametrize("write", [as_json, as_parquet])
def test_real_stored_values_are_refused_from_any_file(papi_folder: Path, tmp_path: Path, write: Write) -> None:
    """Read as agreements, a person's own facet mean errs by 4.85 instead of 2.86."""
    inventory = load_inventory(f"papi:{papi_folder}")
    _, stored = stored_answers(papi_folder, inventory)
    spec = write(tmp_path, stored, inventory)
    with pytest.raises(InputError, match=r"keyed scores: same-keyed .* \+0\.\d\d, opposite-keyed at \+0\.\d\d \(200"):
        load_personas(spec, inventory)
    right = papi_personas(papi_folder)
    assert np.array_equal(load_personas(spec, inventory, coding="keyed").agreements, right.agreements, equal_nan=True)
    assert len(load_personas(write(tmp_path, right.agreements, inventory), inventory)) == 200
