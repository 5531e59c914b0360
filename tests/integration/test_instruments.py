"""Inventories of every shape go through all stages: from the file to results and a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pasctl.evaluation.rows import ends, from_table
from pasctl.export.files import read_record
from pasctl.inventory import Inventory, chosen_inventory, load_inventory, read_answers
from pasctl.inventory.prompts import orders_of
from pasctl.stages.runner import Store
from tests.integration.warm import Warm
from tests.inventory.instruments import INSTRUMENTS, write_instrument

pytestmark = pytest.mark.integration

PEOPLE = 12
QUICK = ("--dtype", "float32", "--neutral-text", "none", "--control-draws", "1", "--alpha", "1")


@pytest.fixture(params=INSTRUMENTS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.yaml"
    path.write_text(INSTRUMENTS[request.param], encoding="utf-8")
    return path


def people(inventory: Inventory, seed: int = 0) -> dict[str, dict[str, int]]:
    """Respondents whose answers follow one score of theirs on each trait."""
    rng = np.random.default_rng(seed)
    place = {trait.code: number for number, trait in enumerate(inventory.known_traits)}
    answers: dict[str, dict[str, int]] = {}
    for number, scores in enumerate(rng.random((PEOPLE, len(place)))):
        own = answers[f"p{number}"] = {}
        for item, scale in zip(inventory.items, inventory.scales, strict=True):
            share = np.clip(scores[place[item.trait]] + rng.normal(0, 0.1), 0, 0.999)
            level = int(len(scale) * (share if item.key > 0 else 0.999 - share))
            own[item.id] = int(scale.ascending[level])
    return answers


def test_poles_of_an_inventory_from_its_file_to_a_page(
    file: Path, warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    inventory = load_inventory(str(file))
    pole = f"{inventory.known_traits[-1].name}+"
    common = ("--store", tmp_path / "store")
    done = warm.run(
        *("run", "--model", tiny_folder, "--inventory", file, "--personas", pole, "--reading", "letters"),
        *("--mode", "no-change,few-shot,personality-prompt,pas", *QUICK, *common),
    )
    assert done.returncode == 0, done.stderr
    results = next(iter(Store(tmp_path / "store").candidates("results")))
    rows = from_table(results.read_table("rows.parquet"))
    low, high = ends(rows)
    assert ((rows["expected"] >= low - 1e-9) & (rows["expected"] <= high + 1e-9)).all()
    assert set(rows["trait"]) <= set(inventory.trait_codes)
    told = rows.dropna(subset=["agreement"])
    assert set(told["trait"]) == {inventory.known_traits[-1].code}
    assert (told["agreement"] == np.where(told["key"] > 0, *reversed(ends(told)))).all()
    page = tmp_path / "page.html"
    assert warm.run("report", "latest", "--output", page, *common).returncode == 0
    assert pole[:-1] in page.read_text(encoding="utf-8") or inventory.known_traits[-1].code in page.read_text()


def test_respondents_of_an_inventory_by_the_papers_recipe(
    file: Path, warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    inventory = load_inventory(str(file))
    answers = tmp_path / "people.json"
    answers.write_text(json.dumps(people(inventory)), encoding="utf-8")
    done = warm.run(
        *("run", "--model", tiny_folder, "--inventory", file, "--personas", answers, "--recipe", "paper", "--json"),
        *("--reading", "letters", "--mode", "no-change,pas", *QUICK, "--store", tmp_path / "store"),
        "--leave-out-unusable",  # of three items to fit on, some people answer the middle to all that train or rank
    )
    assert done.returncode == 0, done.stderr
    results = next(iter(Store(tmp_path / "store").candidates("results")))
    conditions = {row["condition"]: row for row in results.read_json("metrics.json")["conditions"]}
    usual = bool((inventory.low == 1).all() and (inventory.high == 5).all())
    constant = conditions["constant-3" if usual else "constant-middle"]
    report = inventory.indices("report")
    everybody, kept = read_answers(answers, inventory), results.read_json("units.json")["personas"]["ids"]
    given = everybody.agreements[[everybody.ids.index(name) for name in kept]][:, report]
    errors = np.abs(given - inventory.middle[report])
    traits = np.array(inventory.traits)[report]
    expected = sum(errors[:, traits == trait].mean() for trait in dict.fromkeys(traits))
    assert constant["composite"] == pytest.approx(expected)
    assert conditions["own-trait-mean"]["composite"] < constant["composite"]  # the planted scores are recovered
    assert conditions["pas"]["composite"] is not None


def test_statements_answer_the_files_own_prompts_and_options_have_orders_of_their_own(
    warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "german.yaml"
    file.write_text(INSTRUMENTS["german"], encoding="utf-8")
    inventory = load_inventory(str(file))
    done = warm.run(
        *("run", "--model", tiny_folder, "--inventory", file, "--personas", f"{inventory.known_traits[0].code}+"),
        *("--reading", "statements", "--mode", "no-change,pas", "--self-reports", "2", *QUICK),
        *("--store", tmp_path / "store"),
    )
    assert done.returncode == 0, done.stderr
    results = next(iter(Store(tmp_path / "store").candidates("results")))
    assert results.params["prompts"] == list(inventory.wording.self_reports)[:2] != []
    four = tmp_path / "four.yaml"
    four.write_text(INSTRUMENTS["one-trait-of-four-points"], encoding="utf-8")
    most = len(orders_of(4))
    command = ("run", "--model", tiny_folder, "--inventory", four, "--reading", "letters", "--mode", "no-change,pas")
    for count, code in ((most, 0), (most + 1, 2)):
        done = warm.run(*command, "--option-orders", str(count), *QUICK, "--store", tmp_path / "four")
        assert done.returncode == code, done.stderr
    assert f"option orders: expected 1 to {most}, found {most + 1}" in done.stderr


@pytest.mark.parametrize(
    ("name", "labels", "answer"),
    [("scenarios", "text", "I join in after a while."), ("ten-values-of-six-points", "text", "Not like me")],
)
def test_options_are_answered_by_their_texts_stage_by_stage(
    name: str, labels: str, answer: str, warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    file, store = write_instrument(tmp_path, name), tmp_path / "store"
    pole = f"{load_inventory(str(file)).known_traits[0].code}+"
    common = ("--store", store)
    for words in (
        ("extract", "--model", tiny_folder, "--inventory", file, "--option-labels", labels, "--dtype", "float32"),
        ("train-probes", "--personas", pole),
        ("fit-directions", "--top-k", "6"),
        ("eval", "--reading", "letters", "--mode", "no-change,pas", "--audit", "2", *QUICK),
    ):
        done = warm.run(*words, *common)
        assert done.returncode == 0, done.stderr
    results = next(iter(Store(store).candidates("results")))
    activations = next(iter(Store(store).candidates("activations")))
    described = activations.read_json("items.json")
    assert described["inventory"]["option_labels"] == "text"
    assert len(described["letters"][answer]) > 1  # tokens
    rows = from_table(results.read_table("rows.parquet"))
    low, high = ends(rows)
    assert ((rows["expected"] >= low - 1e-9) & (rows["expected"] <= high + 1e-9)).all()
    mass = rows["option_mass"].dropna()
    assert len(mass)
    assert ((mass > 0) & (mass <= 1)).all()


def test_a_run_asks_by_the_labels_that_it_is_given(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    command = ("run", "--model", tiny_folder, "--personas", "E+", "--reading", "letters", "--mode", "no-change", *QUICK)
    asked = {}
    for labels in ("letters", "text", "1-5"):
        store = tmp_path / labels
        done = warm.run(*command, "--option-labels", labels, "--store", store)
        assert done.returncode == 0, done.stderr
        results = next(iter(Store(store).candidates("results")))
        asked[labels] = results.read_json("units.json")["inventory"]
    inventories = (chosen_inventory("builtin", labels) for labels in asked)
    assert list(asked.values()) == [inventory.digest for inventory in inventories]
    for labels, message in (("words", "option labels 'words' are unknown"), ("1-7", "are 1-5")):
        done = warm.run(*command, "--option-labels", labels, "--store", tmp_path / "none")
        assert done.returncode == 2, done.stderr
        assert message in done.stderr.splitlines()[0]


def test_the_check_of_a_file_shows_the_question_by_its_labels(warm: Warm, tmp_path: Path) -> None:
    file = write_instrument(tmp_path, "one-trait-from-0-to-10")
    for labels, line in (("0-10", "10. 10 (always)"), ("text", "- 10 (always)"), ("A-K", "A. 10 (always)")):
        done = warm.run("data", "check", file, "--option-labels", labels)
        assert done.returncode == 0, done.stderr
        assert f"    {line}" in done.stdout.splitlines()
        assert f"--option-labels {labels}" in done.stderr


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("six-traits-of-seven-ends", "respondent"),
        ("weights-and-norms", "respondent"),
        ("scenarios", "pole"),
        ("german", "pole"),
    ],
)
def test_an_inventory_of_ones_own_ends_in_an_export_that_is_proven(
    name: str, who: str, warm: Warm, tiny_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(INSTRUMENTS[name], encoding="utf-8")
    inventory = load_inventory(str(file))
    store = ("--store", tmp_path / "store")
    answers = tmp_path / "people.json"
    answers.write_text(json.dumps(people(inventory)), encoding="utf-8")
    persona, personas = ("p3", answers) if who == "respondent" else (f"{inventory.known_traits[0].code}+",) * 2
    common = ("--model", tiny_folder, "--dtype", "float32", "--inventory", file)
    commands: list[tuple[object, ...]] = [
        ("extract", *common),
        ("train-probes", "--personas", personas),
        ("fit-directions",),
        ("export", "directions", "--persona", persona, "--alpha", "4", "-o", "out", "--json"),
        ("export", "check", "out", "--json"),
    ]
    for command in commands:
        done = warm.run(*command, *store, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    checked = json.loads(done.stdout)
    assert checked["passed"] is True
    assert checked["effect_mean"] > 100 * checked["mean"]  # it is the steered model, and that is not its base
    record = read_record(tmp_path / "out")
    assert record is not None
    assert (record["persona"], record["alpha"]) == (persona, 4.0)
    [directions] = Store(tmp_path / "store").candidates("directions")
    assert record["lineage"][0]["key"] == directions.key
    assert directions.read_json("items.json")["inventory"]["name"] == inventory.name
