"""What `data check` counts of an inventory file and of who answered it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pasctl.inventory import (
    PersonaSet,
    builtin_inventory,
    check_data,
    load_inventory,
    question,
    read_answers,
    simulate,
    spoken,
    write_personas,
)
from pasctl.inventory.files.template import write_template
from pasctl.inventory.trait_scores import cronbach_alpha
from tests.inventory.instruments import INSTRUMENTS, write_instrument


def people(path: Path, *, count: int = 60, keyed: bool = False) -> PersonaSet:
    """Respondents of an inventory file, with one level per trait and some noise."""
    inventory = load_inventory(str(path))
    rng = np.random.default_rng(5)
    level = {code: rng.normal(size=count) for code in inventory.trait_codes}
    share = np.column_stack([0.5 + 0.22 * level[item.trait] + rng.normal(0, 0.1, count) for item in inventory.items])
    scores = np.rint(inventory.low + np.clip(share, 0, 1) * (inventory.high - inventory.low))
    return PersonaSet("people", tuple(f"p{n}" for n in range(count)), scores if keyed else inventory.keyed(scores))


def alpha_by_variances(values: np.ndarray) -> float:
    """The textbook's other form: from the mean covariance and the mean variance of the items."""
    covariance = np.cov(values.T)
    count = len(covariance)
    within = np.trace(covariance) / count
    between = (covariance.sum() - np.trace(covariance)) / (count * (count - 1))
    return float(count * between / (within + (count - 1) * between))


def test_alpha_is_the_textbook_s() -> None:
    values = builtin_inventory().keyed(simulate(builtin_inventory(), 80).agreements)[:, :12]
    assert cronbach_alpha(values) == pytest.approx(alpha_by_variances(values), abs=1e-12)
    gaps = np.vstack([values, np.where(np.arange(12) == 3, np.nan, values[:5])])
    assert cronbach_alpha(gaps) == cronbach_alpha(values)
    assert cronbach_alpha(values[:, :1]) is None
    assert cronbach_alpha(values[:7]) is None
    assert cronbach_alpha(np.full((20, 3), 2.0)) is None


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_counts_of_an_instrument(name: str, tmp_path: Path) -> None:
    path = write_instrument(tmp_path, name)
    report, inventory = check_data(str(path)), load_inventory(str(path))
    assert (
        report.items == sum(report.items_per_trait.values()) == sum(trait.fit + trait.report for trait in report.traits)
    )
    assert report.prompt == question(inventory.items[0], inventory)
    assert (report.respondents, report.coding, report.reading) == (0, None, None)
    assert report.statement == ("" if inventory.items[0].scenario else spoken(inventory.items[0], inventory))
    assert report.scale[0][0] < report.scale[-1][0]
    assert [trait.alpha for trait in report.traits] == [None] * len(report.traits)
    wanted = {"chinese": ["in English: instruction, statement, few_shot_head"]}.get(name, [])
    assert len(report.warnings) == len(wanted)
    assert all(word in line for word, line in zip(wanted, report.warnings, strict=True))


@pytest.mark.parametrize("keyed", [False, True])
def test_respondents_prove_the_coding_and_give_alpha(keyed: bool, tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "six-traits-of-seven-ends")
    answered = people(path, keyed=keyed)
    report = check_data(str(path), answered)
    assert report.coding is not None
    assert report.coding.found == ("keyed" if keyed else "agreement")
    assert report.respondents == 60
    assert all(trait.alpha is not None and trait.alpha > 0.8 for trait in report.traits)
    assert any("look like keyed scores" in line for line in report.warnings) == keyed


def test_a_file_of_answers_is_counted_as_it_is_stored(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "yes-no")
    inventory = load_inventory(str(path))
    table = tmp_path / "people.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["persona", "item", "agreement"])
        for name, row in zip("ab", ([1, 2], [2, ""]), strict=True):
            writer.writerows([name, item.id, value] for item, value in zip(inventory.items, row, strict=False))
    report = check_data(str(path), str(table))
    assert (report.respondents, report.respondents_with_missing) == (2, 2)
    assert report.missing_answers == int(np.isnan(read_answers(table, inventory).agreements).sum())
    parquet = tmp_path / "people.parquet"
    write_personas(people(path), list(inventory.position), parquet)
    assert check_data(str(path), str(parquet)).respondents == 60


def test_what_looks_wrong_is_said(tmp_path: Path) -> None:
    text = (
        "language: de\nscale: [Nein, Ja]\nitems:\n- {id: a, text: Ich bin müde., trait: T, key: 1}\n"
        "- {id: b, text: Ich bin müde., trait: T, key: 1}\n- {id: c, text: Ich bin wach., trait: U, key: -1}\n"
    )
    (tmp_path / "odd.yaml").write_text(text, encoding="utf-8")
    warnings = "\n".join(check_data(str(tmp_path / "odd.yaml")).warnings)
    for words in (
        *("trait T: all items are keyed +1", "trait U: all items are keyed -1", "trait U: no item in the report split"),
        *("same text: a, b", "in English: instruction"),
    ):
        assert words in warnings


def test_adjectives_are_better_written_as_sentences(tmp_path: Path) -> None:
    text = (
        "scale: [No, Yes]\nitems:\n"
        "- {id: a, text: Warm, trait: T, key: 1}\n- {id: b, text: I am cold., trait: T, key: -1}\n"
    )
    (tmp_path / "words.yaml").write_text(text, encoding="utf-8")
    report = check_data(str(tmp_path / "words.yaml"))
    assert report.statement == "I warm."
    assert ["(a)" in line and "'I am warm.'" in line for line in report.warnings] == [True]


def test_the_template_loads_without_change(tmp_path: Path) -> None:
    made = [
        load_inventory(str(write_template(tmp_path / f"river.{suffix}"))) for suffix in ("yaml", "yml", "json", "csv")
    ]
    assert len({inventory.digest for inventory in made}) == 1
    assert check_data(str(tmp_path / "river.yaml")).warnings == ()
    assert made[0].scale.label_of(5) == "Strongly agree"
