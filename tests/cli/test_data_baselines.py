"""`pasctl data baselines`: what can be predicted without a model, for whom."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pasctl.cli.app import app
from pasctl.evaluation.baselines import BASELINES
from pasctl.inventory import builtin_inventory, simulate
from pasctl.inventory.coding import unkeyed
from pasctl.inventory.simulate import demo_respondents
from tests.inventory.answer_files import as_json

PAPI = os.environ.get("PASCTL_PAPI")
needs_papi = pytest.mark.skipif(PAPI is None, reason="PASCTL_PAPI names no folder of PAPI answers")


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "baselines", *map(str, words)])


def found(*words: object) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    return document, {row["condition"]: row for row in document["conditions"]}


def test_the_built_in_respondents_have_all_of_them() -> None:
    document, rows = found("builtin")
    assert list(rows) == list(BASELINES)
    assert document["left_out"] == {}
    people, inventory = simulate(builtin_inventory()), builtin_inventory()
    answers = people.agreements[:, inventory.indices("report")]
    of_item = np.array(inventory.traits)[inventory.indices("report")]
    composite = sum(np.abs(answers[:, of_item == trait] - 3).mean() for trait in "OCEAN")
    assert rows["constant-3"]["composite"] == pytest.approx(composite)
    assert {(row["personas"], row["items"]) for row in rows.values()} == {(50, 30)}
    assert rows["own-trait-mean"]["rank_correlation_mean"] > 0.5
    assert rows["ridge"]["composite"] < rows["constant-3"]["composite"]


def test_the_table_names_each_and_those_left_out() -> None:
    result = invoke("demo:0-6")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == [name for name in BASELINES if name != "ridge"]
    assert lines[6] == "ridge is left out: it learns from other persons and needs 10, found 6"
    assert "6 personas, 30 items" in result.stdout


def test_keyed_scores_are_refused_or_read_as_the_agreements_that_they_are(tmp_path: Path) -> None:
    inventory, people = builtin_inventory(), demo_respondents(builtin_inventory()).subset(range(24))
    right = as_json(tmp_path, people.agreements, inventory)
    expected = invoke(right)
    assert (expected.exit_code, expected.stderr) == (0, "")
    scores = as_json(tmp_path, unkeyed(people.agreements, inventory), inventory)
    refused = invoke(scores)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "agreements are expected, the answers are keyed scores" in refused.stderr
    assert "--coding keyed" in refused.stderr
    assert invoke(scores, "--coding", "keyed").stdout == expected.stdout
    few = invoke(as_json(tmp_path, people.agreements[:3], inventory))
    assert (few.exit_code, len(few.stderr.splitlines())) == (0, 1)
    assert "3 respondents, too few to prove the coding" in few.stderr


def test_one_pole_has_no_others_to_learn_from() -> None:
    document, rows = found("E+")
    assert set(document["left_out"]) == {"item-median-loo", "ridge"}
    assert rows["own-facet-mean"]["mae"]["E"] == 0
    assert rows["constant-3"]["composite"] is None


def test_answers_in_a_file_are_about_the_inventory_named(tmp_path: Path) -> None:
    inventory = builtin_inventory()
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({item.id: 4 for item in inventory.items}), encoding="utf-8")
    _, rows = found(path)
    assert rows["constant-3"]["composite"] == 5.0
    assert rows["constant-3"]["personas"] == 1


@pytest.mark.parametrize(
    ("spec", "code", "says"),
    [
        ("nobody", 2, "unknown personas 'nobody'"),
        ("papi:no-such-folder", 3, "no-such-folder does not exist"),
        ("papi:no-such-folder:0-3", 3, "does not exist"),
    ],
)
def test_what_does_not_exist_is_one_line(spec: str, code: int, says: str) -> None:
    result = invoke(spec)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_coding_of_files_is_refused_for_answers_that_need_none() -> None:
    assert invoke("builtin", "--coding", "keyed").exit_code == 2


@needs_papi
def test_papi_has_the_known_composites_and_a_selection_of_it_works() -> None:
    _, rows = found(f"papi:{PAPI}")
    if rows["constant-3"]["personas"] == 200:
        assert rows["constant-3"]["composite"] == pytest.approx(3.715, abs=5e-4)
        assert rows["own-facet-mean-rounded"]["composite"] == pytest.approx(2.674, abs=5e-4)
    _, some = found(f"papi:{PAPI}:0-12")
    assert {(row["personas"], row["items"]) for row in some.values()} == {(12, 180)}
    assert "ridge" in some
    _, shown = found(f"papi:{PAPI}:0-20")  # as the README shows it
    assert shown["constant-3"]["composite"] == pytest.approx(3.214, abs=0.001)


@needs_papi
def test_keyed_scores_read_as_agreement_make_a_persons_own_mean_worse_than_a_constant() -> None:
    document, rows = found(f"papi:{PAPI}", "--coding", "as-published")
    assert document["coding"] == "as-published"
    assert rows["own-facet-mean"]["composite"] > rows["constant-3"]["composite"]
    assert "Coding: as-published" in invoke(f"papi:{PAPI}", "--coding", "as-published").stdout
