"""Extraction: every item and answer once, in inventory order, and report items never reach what is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pasctl.commands.extract import Extract
from pasctl.errors import InputError
from pasctl.inventory import builtin_inventory, question
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.models.load import LoadedModel
from pasctl.stages.extract import SHARD_ITEMS, PromptSet, columns_of, extract, read_head_outputs
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.runner import Artifact
from pasctl.stages.train_probes import read_fit_items, train_probes
from tests.activations.test_forward import naive_head_outputs
from tests.tiny import tiny_loaded


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


def made(model: LoadedModel, store: Path, **options: str) -> Artifact:
    artifact = extract(model, store=store, **options).artifact  # type: ignore[arg-type]
    assert artifact is not None
    return artifact


def test_columns_name_the_answers_from_most_to_least_agreement() -> None:
    inventory = builtin_inventory()
    ends = columns_of(Extract(model="demo", option_order="forward"), inventory)
    assert [(c.order, c.option) for c in ends] == [("forward", 0), ("forward", -1)]
    both = columns_of(Extract(model="demo", answers="all", option_order="both"), inventory)
    assert [(c.order, c.option) for c in both] == [(o, n) for o in ("forward", "reversed") for n in range(5)]
    assert columns_of(Extract(model="demo", answers="all"), inventory) == both


@pytest.mark.parametrize("wrong", [{"answers": "some"}, {"option_order": "random"}, {"items": "report"}])
def test_unknown_options_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match="expected one of"):
        Extract(model="demo", **wrong)


def test_shards_hold_every_item_once(model: LoadedModel) -> None:
    prompts = PromptSet.render(model.chat, builtin_inventory(), Extract(model="demo", items="all"))
    shards = list(prompts.shards.values())
    assert sorted(row for shard in shards for row in shard) == list(range(60))
    assert all(len(shard) == SHARD_ITEMS for shard in shards[:-1])


def test_head_outputs_are_those_of_each_prompt_alone_in_inventory_order(model: LoadedModel, tmp_path: Path) -> None:
    artifact = made(model, tmp_path, answers="all", option_order="both", items="all")
    values, described = read_head_outputs(artifact)
    inventory = builtin_inventory()
    assert values.shape == (60, 10, 3, 6, 16)
    assert described["rows"] == list(range(60))
    letters = dict(zip(LETTERS, model.chat.letter_ids(), strict=True))
    for item, column in [(0, 0), (17, 3), (59, 9), (31, 5)]:
        answer = described["columns"][column]
        prompt = model.chat.encode(question(inventory.items[item], inventory, answer["order"]))
        expected = naive_head_outputs(model, [*prompt, letters[answer["letter"]]])
        torch.testing.assert_close(values[item, column], expected, atol=2e-5, rtol=2e-5)


def test_pairs_set_agreeing_against_disagreeing_within_one_order(model: LoadedModel, tmp_path: Path) -> None:
    described = made(model, tmp_path, answers="all", option_order="both").read_json("items.json")
    columns = described["columns"]
    assert len(described["pairs"]) == 4
    for agree, disagree in described["pairs"]:
        assert columns[agree]["order"] == columns[disagree]["order"]
        assert columns[agree]["agreement"] + columns[disagree]["agreement"] == 6
        assert columns[agree]["agreement"] > 3


def test_report_items_never_reach_what_is_fitted(model: LoadedModel, tmp_path: Path) -> None:
    fit_only, everything = made(model, tmp_path), made(model, tmp_path, items="all")
    few, many = read_fit_items(fit_only), read_fit_items(everything)
    np.testing.assert_array_equal(few.columns, builtin_inventory().indices("fit"))
    np.testing.assert_array_equal(few.columns, many.columns)
    torch.testing.assert_close(few.head_outputs, many.head_outputs, atol=2e-5, rtol=2e-5)
    thetas = []
    for activations in (fit_only, everything):
        probes = train_probes(activations=activations, personas="builtin:0-3", store=tmp_path).artifact
        assert probes is not None
        directions = fit_directions(probes=probes, store=tmp_path, top_k=18).artifact
        assert directions is not None
        arrays = directions.read_arrays("directions.safetensors")
        place = np.lexsort((arrays["heads"][..., 1], arrays["heads"][..., 0]))
        thetas.append(np.take_along_axis(arrays["theta"], place[..., None], axis=1))
    np.testing.assert_allclose(thetas[0], thetas[1], atol=1e-3)


def test_bfloat16_is_kept_as_it_is(tmp_path: Path) -> None:
    model = LoadedModel.wrap(tiny_loaded().model.to(torch.bfloat16), tiny_loaded().tokenizer)
    values, _ = read_head_outputs(made(model, tmp_path))
    assert values.dtype == torch.bfloat16
    assert torch.isfinite(values.float()).all()
