"""Answers of several tokens through the stages: what is extracted, scored and checked is that of plain passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pasctl.errors import InputError
from pasctl.evaluation.rows import from_table
from pasctl.inventory import Inventory, chosen_inventory, load_inventory, question
from pasctl.models.load import LoadedModel
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract, read_head_outputs
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.letter_mass import letter_mass
from pasctl.stages.reading_choice import try_letters
from pasctl.stages.reproduce import Made, reproduce
from pasctl.stages.runner import Artifact
from pasctl.stages.train_probes import train_probes
from tests.activations.test_forward import naive_head_outputs
from tests.evaluation.test_option_scoring import answers
from tests.inventory.instruments import write_instrument
from tests.tiny import tiny_loaded

QUICK: dict[str, Any] = {"neutral_text": "none", "control_draws": 1, "reading": "letters"}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(params=["one-trait-from-0-to-10", "builtin as text"])
def inventory(request: pytest.FixtureRequest, tmp_path: Path) -> Inventory:
    """One whose options are several tokens each, or some of them."""
    if request.param == "builtin as text":
        return chosen_inventory("builtin", "text")
    return load_inventory(str(write_instrument(tmp_path, request.param)))


def made(outcome: Any) -> Artifact:
    assert outcome.artifact is not None
    return outcome.artifact  # type: ignore[no-any-return]


def plain_chances(model: LoadedModel, inventory: Inventory, column: int, order: str) -> Any:
    """The oracle: the chance of the option of the lowest, .. highest score of an item."""
    item = inventory.items[column]
    points = len(inventory.scales[column])
    names = inventory.option_names(item, range(1, points + 1))
    ids = [tuple(model.tokenizer(name, add_special_tokens=False)["input_ids"]) for name in names]
    assert max(map(len, ids)) > 1
    return np.array(answers(model, model.chat.encode(question(item, inventory, order)), ids))


def test_head_outputs_are_those_at_the_last_token_of_the_answer(
    model: LoadedModel, inventory: Inventory, tmp_path: Path
) -> None:
    artifact = made(extract(model, inventory=inventory, store=tmp_path / "store", answers="all", option_order="both"))
    values, described = read_head_outputs(artifact)
    points = int(inventory.points[0])
    assert values.shape[1] == 2 * points
    for row, column in [(0, 0), (1, 1), (2, points - 1), (0, points), (1, 2 * points - 1)]:
        answer = described["columns"][column]
        prompt = model.chat.encode(question(inventory.items[described["rows"][row]], inventory, answer["order"]))
        ids = model.tokenizer(answer["letter"], add_special_tokens=False)["input_ids"]
        assert described["letters"][answer["letter"]] == (ids if len(ids) > 1 else ids[0])
        torch.testing.assert_close(
            values[row, column], naive_head_outputs(model, [*prompt, *ids]), atol=2e-5, rtol=2e-5
        )


def test_results_are_the_options_shares_of_a_walk_through_all_answers(
    model: LoadedModel, inventory: Inventory, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    activations = made(extract(model, inventory=inventory, store=store))
    pole = f"{inventory.traits[0]}+"
    probes = made(train_probes(activations=activations, personas=pole, store=store))
    directions = made(fit_directions(probes=probes, store=store, top_k=6))
    done = evaluate(
        directions=directions, model=model, store=store, modes="no-change,pas", alpha=2, option_orders=2, **QUICK
    )
    results = made(done)
    rows = from_table(results.read_table("rows.parquet"))
    unsteered = rows[rows["condition"] == "no-change"].set_index("item")
    for column in inventory.indices("report")[:2]:
        chances = [plain_chances(model, inventory, column, order) for order in ("forward", "reversed")]
        shares = np.mean([each / each.sum() for each in chances], axis=0)
        row = unsteered.loc[inventory.items[column].id]
        assert row["expected"] == pytest.approx(shares @ inventory.scales[column].ascending, abs=1e-4)
    steered = rows[rows["condition"] == "pas"].set_index("item")
    assert (steered["expected"] != unsteered.loc[steered.index, "expected"]).any()


def test_the_mass_and_the_check_of_the_reading_are_those_of_whole_answers(
    model: LoadedModel, inventory: Inventory
) -> None:
    column = int(inventory.indices("fit")[0])
    expected = plain_chances(model, inventory, column, "reversed").sum()
    assert letter_mass(model, inventory, [(column, "reversed")], 4096) == pytest.approx(expected, rel=1e-3)
    check = try_letters(model, inventory, seed=0, batch_tokens=4096)
    assert 0 < check.option_mass < 1
    assert check.reading == "statements"


def test_the_key_has_them_where_they_differ_and_the_command_says_them(tmp_path: Path, model: LoadedModel) -> None:
    def key(**options: Any) -> str:
        return str(extract(model, store=tmp_path, dry_run=True, **options).key)

    assert key() == key(option_labels="letters") == key(option_labels="A-E")
    assert len({key(), key(option_labels="numbers"), key(option_labels="text")}) == 3
    assert key(option_labels="numbers") == key(option_labels="1-5")
    artifact = made(extract(model, store=tmp_path, option_labels="text"))
    assert "option_labels" not in artifact.params
    facts = Made.of(artifact)
    assert "--option-labels text" in reproduce(Made(**{**vars(facts), "model_kind": "hub"}))


def test_directions_of_answers_keep_the_answers_labels(tmp_path: Path, model: LoadedModel) -> None:
    activations = made(extract(model, store=tmp_path, option_labels="numbers"))
    probes = made(train_probes(activations=activations, personas="builtin:0-2", store=tmp_path))
    assert fit_directions(probes=probes, store=tmp_path, option_labels="1-5", dry_run=True).key
    with pytest.raises(InputError, match=r"--option-labels text: the answers of .* are numbers"):
        fit_directions(probes=probes, store=tmp_path, option_labels="text", dry_run=True)


def test_a_contrast_of_items_is_made_again_by_its_own_inventory_and_labels(tmp_path: Path, model: LoadedModel) -> None:
    file = str(write_instrument(tmp_path, "yes-no"))
    artifact = made(extract(model, store=tmp_path, contrast="items", inventory=file, option_labels="text"))
    command = reproduce(Made(**{**vars(Made.of(artifact)), "model_kind": "hub"}))
    assert "--contrast items" in command
    assert f"--inventory PATH/TO/{Path(file).name}" in command
    assert "--option-labels text" in command
