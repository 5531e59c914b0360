from __future__ import annotations

import itertools
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import Inventory, Item, builtin_inventory, check_data, papi_inventory, papi_personas, prove_coding
from pasctl.inventory.answer_sums import AnswerSums
from pasctl.inventory.papi import PAPI_FILES
from tests.inventory.papi_files import FACETS, KEYS, N_ITEMS, answers, write_folder, write_xlsx


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_items_come_in_the_order_of_their_numbers(small_papi: Path) -> None:
    inventory = papi_inventory(small_papi)
    assert [item.id for item in inventory.items] == [f"i{n}" for n in range(1, N_ITEMS + 1)]
    assert inventory.keys.tolist() == list(KEYS) * 5 * FACETS
    assert [item.text for item in inventory.items[:2]] == ["Do thing number 1.", "Do thing number 2."]
    assert [item.split for item in inventory.items[:3]] == ["report", "report", "fit"]


def test_keyed_and_raw_files_of_the_same_people_give_the_same_agreements(tmp_path: Path) -> None:
    keyed = papi_personas(write_folder(tmp_path / "keyed", answers(60, keyed=True)))
    raw = papi_personas(write_folder(tmp_path / "raw", answers(60, keyed=False)))
    assert keyed.digest == raw.digest
    assert np.array_equal(raw.agreements, answers(60, keyed=False))


def test_published_treatment_keeps_the_stored_values_and_is_marked(small_papi: Path) -> None:
    published = papi_personas(small_papi, "as-published")
    assert published.coding == "as-published"
    assert np.array_equal(published.agreements, answers(60, keyed=True))
    assert published.digest != papi_personas(small_papi, "agreement").digest


def test_zero_is_missing_in_either_coding(small_papi: Path) -> None:
    def leave_out(people: list[dict[str, int]]) -> None:
        people[4]["i5"] = people[4]["i1"] = 0

    edit_json(small_papi / "Test-set.json", leave_out)
    for coding in ("auto", "agreement", "as-published"):
        missing = np.isnan(papi_personas(small_papi, coding).agreements)
        assert np.argwhere(missing).tolist() == [[4, 0], [4, 4]]
    report = check_data(f"papi:{small_papi}")
    assert (report.missing_answers, report.respondents_with_missing) == (2, 1)


def test_shuffled_answers_are_refused_with_both_figures(tmp_path: Path) -> None:
    values = answers(200, keyed=True)
    rng = np.random.default_rng(0)
    folder = write_folder(tmp_path / "shuffled", np.array([rng.permutation(row) for row in values]))
    with pytest.raises(InputError, match=r"same-keyed .* [+-]0\.\d\d, opposite-keyed at [+-]0\.\d\d") as caught:
        papi_personas(folder)
    assert "--coding keyed" in str(caught.value.hint)
    assert np.array_equal(
        papi_personas(folder, "agreement").agreements, papi_personas(folder, "as-published").agreements
    )
    assert check_data(f"papi:{folder}").coding.found == "ambiguous"


def test_half_reversed_answers_are_refused(tmp_path: Path) -> None:
    """A file in which every other facet was reversed is neither one nor the other."""
    by_facet = np.repeat(np.arange(5 * FACETS), len(KEYS)) % 2 == 0
    mixed = np.where(by_facet, answers(200, keyed=True), answers(200, keyed=False))
    with pytest.raises(InputError, match="cannot tell"):
        papi_personas(write_folder(tmp_path / "mixed", mixed))


def test_too_few_respondents_prove_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "few", answers(19, keyed=True))
    with pytest.raises(InputError, match="fewer than 20"):
        papi_personas(folder)
    assert len(papi_personas(folder, "keyed")) == 19
    one = write_folder(tmp_path / "one", answers(1, keyed=True))
    alone = check_data(f"papi:{one}")
    assert (alone.coding.same, alone.coding.opposite, alone.coding.pairs_same) == (None, None, 0)
    assert alone.coding.found == "ambiguous"
    assert "unknown" in str(alone.coding)


def test_check_counts_the_builtin_inventory_too() -> None:
    report = check_data("builtin")
    inventory = builtin_inventory()
    assert report.items == sum(report.items_per_trait.values()) == sum(report.split.values()) == len(inventory)
    assert (report.items_keyed_minus, report.respondents, report.missing_answers) == (30, 50, 0)
    assert report.coding.found == "agreement"


def test_correlations_equal_numpy_on_the_complete_rows() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(1, 6, (12, 6)).astype(float)
    values[rng.random(values.shape) < 0.25] = np.nan
    values[:, 4] = 2.0  # does not vary
    values[2:, 5] = np.nan  # two rows are too few
    got = AnswerSums.of(values).correlations()
    for a, b in itertools.product(range(6), repeat=2):
        rows = ~np.isnan(values[:, a]) & ~np.isnan(values[:, b])
        if max(a, b) >= 4:
            assert np.isnan(got[a, b])
        else:
            assert got[a, b] == pytest.approx(np.corrcoef(values[rows, a], values[rows, b])[0, 1], abs=1e-12)


def test_same_keyed_items_that_disagree_decide_nothing() -> None:
    """Opposite-keyed pairs alone could be an item key that belongs to another file."""
    rng = np.random.default_rng(2)
    two = rng.integers(1, 6, (400, 2)).astype(float)
    items = tuple(Item(f"i{n}", "t", trait="O", facet="f", key=k, split="fit") for n, k in enumerate((1, 1, -1, -1)))
    report = prove_coding(np.hstack([two, two]), Inventory("test", items, tuple("vwxyz")))
    assert report.opposite is not None
    assert report.opposite > 0.4
    assert report.found == "ambiguous"


# ----- broken folders


@pytest.mark.parametrize("name", PAPI_FILES)
def test_missing_file_is_named_with_its_folder(small_papi: Path, name: str) -> None:
    (small_papi / name).unlink()
    with pytest.raises(MissingError, match=name) as caught:
        papi_personas(small_papi)
    assert str(small_papi) in str(caught.value)
    assert all(known in str(caught.value.hint) for known in PAPI_FILES)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        papi_inventory(tmp_path / "nowhere")


@pytest.mark.parametrize("name", PAPI_FILES)
@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff\xfe"])
def test_broken_file_is_one_line(small_papi: Path, name: str, content: bytes) -> None:
    (small_papi / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as caught:
        papi_personas(small_papi)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [6, -1, 2.5, "3", None, True])
def test_bad_answer_names_respondent_and_item(small_papi: Path, value: object) -> None:
    edit_json(small_papi / "Test-set.json", lambda people: people[7].update(i9=value))
    with pytest.raises(InputError, match=r"case 1007, item i9.*") as caught:
        papi_personas(small_papi)
    assert repr(value) in str(caught.value)


def test_absent_answer_is_not_taken_for_missing(small_papi: Path) -> None:
    edit_json(small_papi / "Test-set.json", lambda people: people[0].pop("i50"))
    with pytest.raises(InputError, match="case 1000, item i50"):
        papi_personas(small_papi)


def test_a_case_number_that_comes_back_keeps_both_rows_apart(small_papi: Path) -> None:
    edit_json(small_papi / "Test-set.json", lambda people: people[3].update(case=1001))
    ids = papi_personas(small_papi).ids
    assert (ids[1], ids[3]) == ("1001", "1001#2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["train_index"].append(s["test_index"][0]), "twice: i1"),
        (lambda s: s["train_index"].append(s["train_index"][0]), "twice: i3"),
        (lambda s: s["test_index"].pop(), "different items: i50"),
        (lambda s: s["test_index"].append(51), "different items: i51"),
        (lambda s: s.pop("test_index"), "test_index is none"),
        (lambda s: s["test_index"].append("9"), "test_index is none"),
    ],
)
def test_bad_split_is_named(small_papi: Path, change: Callable[[Any], None], message: str) -> None:
    edit_json(small_papi / "mpi_300_split.json", change)
    with pytest.raises(InputError, match=message):
        papi_inventory(small_papi)


def test_bad_item_key_is_named(small_papi: Path) -> None:
    path = small_papi / "IPIP-NEO-ItemKey.xls"
    head: list[object] = ["Full#", "Sign", "Facet", "Item"]
    for rows, message in (
        ([["Full#", "Sign", "Facet"]], "missing Item"),
        ([head, [1, "?O1", "f", "t"]], r"different items|Sign of item 1"),
        ([head, [1, "+O1", "f", "t"], [1, "+O1", "f", "t"]], "Full#.*found 1"),
        ([head, ["one", "+O1", "f", "t"]], "found 'one'"),
    ):
        write_xlsx(path, rows)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=message):
            papi_inventory(small_papi)


def test_files_may_lie_a_little_deeper_but_not_twice(small_papi: Path, tmp_path: Path) -> None:
    deep = tmp_path / "checkout"
    shutil.copytree(small_papi, deep / "PAPI")
    assert papi_personas(deep).digest == papi_personas(small_papi).digest
    shutil.copytree(small_papi, deep / "copy")
    with pytest.raises(InputError, match="more than once"):
        papi_inventory(deep)


# ----- the real data


def test_real_inventory(papi_folder: Path) -> None:
    inventory = papi_inventory(papi_folder)
    assert len(inventory) == 300
    assert (len(inventory.indices("fit")), len(inventory.indices("report"))) == (120, 180)
    assert {t: inventory.traits.count(t) for t in "OCEAN"} == dict.fromkeys("OCEAN", 60)
    assert int((inventory.keys == -1).sum()) == 148
    assert len({(i.trait, i.facet) for i in inventory.items}) == 30
    by_id = {item.id: item for item in inventory.items}
    assert (by_id["i1"].text, by_id["i1"].key, by_id["i1"].trait) == ("Worry about things.", 1, "N")
    assert (by_id["i300"].text, by_id["i300"].key, by_id["i300"].trait) == ("Often make last-minute plans.", -1, "C")


def test_real_answers_are_keyed(papi_folder: Path) -> None:
    report = check_data(f"papi:{papi_folder}")
    people = json.loads((papi_folder / "Test-set.json").read_text())
    zeros = [sum(p[f"i{n}"] == 0 for n in range(1, 301)) for p in people]
    assert report.respondents == len(people) == 200
    assert report.missing_answers == sum(zeros)
    assert report.respondents_with_missing == sum(z > 0 for z in zeros)
    assert report.coding.found == "keyed"
    assert report.coding.same == pytest.approx(0.48, abs=0.01)
    assert report.coding.opposite == pytest.approx(0.42, abs=0.01)
    assert report.coding.pairs_same + report.coding.pairs_opposite == 30 * 45


def test_real_correlations_by_the_standard_library(papi_folder: Path) -> None:
    inventory = papi_inventory(papi_folder)
    people = json.loads((papi_folder / "Test-set.json").read_text())
    figures: dict[bool, list[float]] = {True: [], False: []}
    for a, b in itertools.combinations(inventory.items, 2):
        if a.facet == b.facet:
            both = [(p[a.id], p[b.id]) for p in people if p[a.id] and p[b.id]]
            figures[a.key == b.key].append(statistics.correlation(*zip(*both, strict=True)))
    report = check_data(f"papi:{papi_folder}").coding
    assert report.same == pytest.approx(statistics.mean(figures[True]))
    assert report.opposite == pytest.approx(statistics.mean(figures[False]))


def test_real_agreements_undo_the_keying(papi_folder: Path) -> None:
    inventory, personas = papi_inventory(papi_folder), papi_personas(papi_folder)
    people = json.loads((papi_folder / "Test-set.json").read_text())
    assert personas.ids == tuple(str(p["case"]) for p in people)
    for person, row in zip(people, personas.agreements, strict=True):
        for item, value in zip(inventory.items, row, strict=True):
            stored = person[item.id]
            if stored == 0:
                assert np.isnan(value)
            else:
                assert value == (stored if item.key > 0 else 6 - stored)


def test_real_data_as_agreements_and_shuffled(papi_folder: Path) -> None:
    inventory, agreements = papi_inventory(papi_folder), papi_personas(papi_folder).agreements
    raw = prove_coding(agreements, inventory)
    assert raw.found == "agreement"
    assert raw.opposite == pytest.approx(-0.42, abs=0.01)
    rng = np.random.default_rng(0)
    assert prove_coding(np.array([rng.permutation(row) for row in agreements]), inventory).found == "ambiguous"
    assert prove_coding(rng.permuted(agreements, axis=0), inventory).found == "ambiguous"
