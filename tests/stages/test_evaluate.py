"""Evaluation: the numbers are those of a plain steered forward pass, and no question is put twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import pasctl
from pasctl.commands.evaluate import Evaluate
from pasctl.errors import InputError
from pasctl.evaluation.rows import from_table
from pasctl.inventory import builtin_inventory, few_shot, load_personas, option_levels, question
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.models.load import LoadedModel
from pasctl.models.options import ModelOptions
from pasctl.stages import letter_answers, unit_answers
from pasctl.stages.evaluate import evaluate, export_published_log
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.runner import Artifact
from pasctl.stages.train_probes import train_probes
from pasctl.steering import steer
from tests.tiny import save_tiny, tiny_loaded

PERSONAS = 3
REPORT = 30


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def fitted(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("fitted")
    extract(model, store=store)
    train_probes(personas=f"builtin:0-{PERSONAS}", store=store)
    fit_directions(store=store, top_k=6)
    return store


@pytest.fixture
def store(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "store"))


def results(
    model: LoadedModel, store: Path, modes: str = "no-change,pas", alpha: str = "4", **options: object
) -> Artifact:
    given = {"neutral_text": "none", "reading": "letters", **options}
    artifact = evaluate(model=model, modes=modes, alpha=alpha, store=store, **given).artifact  # type: ignore[arg-type]
    assert artifact is not None
    return artifact


def counts(artifact: Artifact) -> dict[str, int]:
    found: dict[str, int] = artifact.provenance["counts"]
    return found


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_rows_are_those_of_a_plain_steered_forward_pass(model: LoadedModel, store: Path, positions: str) -> None:
    rows = from_table(results(model, store, "pas+few-shot", "2", positions=positions).read_table("rows.parquet"))
    inventory = builtin_inventory()
    personas = load_personas(f"builtin:0-{PERSONAS}", inventory)
    letters = model.chat.letter_ids(LETTERS)
    for persona, place in [(0, 3), (2, 21)]:
        item = inventory.items[inventory.indices("report")[place]]
        told = few_shot(inventory, personas.agreements[persona], inventory.indices("fit"))
        ids = torch.tensor([model.chat.encode(question(item, inventory), told)])
        shift = pasctl.intervention(model, personas.ids[persona], 2, store=store)
        with steer(model, shift, positions=positions), torch.inference_mode():
            probabilities = model.model(ids, use_cache=False).logits[0, -1].double().softmax(-1)[letters]
        (row,) = np.flatnonzero(
            (rows["persona"] == personas.ids[persona])
            & (rows["item"] == item.id)
            & (rows["condition"] == "pas+few-shot")
        )
        expected = (probabilities / probabilities.sum()) @ torch.tensor([5.0, 4, 3, 2, 1], dtype=torch.float64)
        assert rows["expected"][row] == pytest.approx(expected.item(), abs=1e-4)
        assert rows["option_mass"][row] == pytest.approx(probabilities.sum().item(), rel=1e-3)
        assert rows["agreement"][row] == personas.agreements[persona, inventory.indices("report")[place]]


def test_every_persona_condition_alpha_and_item_has_a_row(model: LoadedModel, store: Path) -> None:
    rows = from_table(results(model, store, "no-change,pas", "0,4").read_table("rows.parquet"))
    for condition, alpha in [
        ("no-change", 0.0),
        ("pas", 0.0),
        ("pas", 4.0),
        ("constant-3", 0.0),
        ("own-facet-mean", 0.0),
    ]:
        picked = (rows["condition"] == condition) & (rows["alpha"] == alpha)
        assert picked.sum() == PERSONAS * REPORT
        assert len(set(zip(rows["persona"][picked], rows["item"][picked], strict=True))) == PERSONAS * REPORT


def test_the_unchanged_model_is_asked_once_for_all_personas_and_for_alpha_zero(model: LoadedModel, store: Path) -> None:
    artifact = results(model, store, "no-change,pas", "0")
    assert counts(artifact)["units"] == 2 * PERSONAS
    assert artifact.read_tensors("answers.safetensors")["level_logprobs"].shape == (1, 1, REPORT, 5)
    table = {row["condition"]: row for row in artifact.read_json("metrics.json")["conditions"]}
    assert table["pas"]["mae"] == table["no-change"]["mae"]


def test_answers_that_other_results_hold_are_not_computed_again(model: LoadedModel, store: Path) -> None:
    results(model, store, "no-change,few-shot,pas", "2")
    more = results(model, store, "no-change,few-shot,pas", "2,4")
    assert counts(more)["units_reused"] == 1 + PERSONAS + PERSONAS
    fit_directions(store=store, top_k=5)
    refitted = results(model, store, "few-shot,pas", "4")
    # few-shot does not depend on directions, steering does
    assert counts(refitted)["units_reused"] == PERSONAS


def test_reused_answers_give_the_same_bytes(model: LoadedModel, store: Path, tmp_path: Path) -> None:
    untouched = Path(shutil.copytree(store, tmp_path / "untouched"))
    results(model, store, "pas", "4")
    pieced = results(model, store, "no-change,pas", "2,4")
    whole = results(model, untouched, "no-change,pas", "2,4")
    assert counts(pieced)["units_reused"] > counts(whole)["units_reused"] == 0
    assert pieced.key == whole.key
    assert pieced.content_digest == whole.content_digest


def test_a_killed_run_that_steers_the_answer_alone_comes_to_the_same_bits(
    model: LoadedModel, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_answers, "FORKS", 4)
    untouched = Path(shutil.copytree(store, tmp_path / "untouched"))
    whole = results(model, untouched, "pas", "1,2,4", positions="answer")
    answer, asked = letter_answers.Scorer.answer, []

    def dying(self, source, units, given):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(units))
        return answer(self, source, units, given)

    with monkeypatch.context() as patched:
        patched.setattr(letter_answers.Scorer, "answer", dying)
        with pytest.raises(KeyboardInterrupt):
            results(model, store, "pas", "1,2,4", positions="answer")
    # nine units, four at once; one that the kill has lost takes its whole pass with it
    next(iter((store / "staging").glob("*/parts/*"))).unlink()
    resumed = results(model, store, "pas", "1,2,4", positions="answer")
    assert asked == [4, 4]
    assert counts(resumed)["units_reused"] == 4
    assert resumed.content_digest == whole.content_digest


def test_option_orders_are_asked_and_averaged_and_their_spread_is_told(model: LoadedModel, store: Path) -> None:
    forward = results(model, store, "no-change").read_arrays("answers.safetensors")["level_logprobs"]
    artifact = results(model, store, "no-change", option_orders=4)
    found = artifact.read_arrays("answers.safetensors")["level_logprobs"]
    assert found.shape == (1, 4, REPORT, 5)
    np.testing.assert_allclose(found[:, :1], forward, atol=1e-4)
    probabilities = np.exp(found[0].astype(np.float64))
    of_order = (probabilities / probabilities.sum(-1, keepdims=True)) @ np.arange(1, 6)
    rows = from_table(artifact.read_table("rows.parquet"))
    first = (rows["condition"] == "no-change") & (rows["persona"] == rows["persona"][0])
    np.testing.assert_allclose(rows["expected"][first], of_order.mean(0), atol=1e-6)
    spread = of_order.max(0) - of_order.min(0)
    np.testing.assert_allclose(rows["order_spread"][first], spread, atol=1e-6)
    [told] = [row for row in artifact.read_json("metrics.json")["conditions"] if row["condition"] == "no-change"]
    assert told["order_spread"] == pytest.approx(spread.mean())
    orders = artifact.read_json("units.json")["orders"]
    assert orders[:2] == ["forward", "reversed"]
    assert len(set(orders)) == 4
    for place, order in enumerate(orders):
        item = builtin_inventory().items[builtin_inventory().indices("report")[7]]
        ids = torch.tensor([model.chat.encode(question(item, builtin_inventory(), order))])
        with torch.inference_mode():
            chances = model.model(ids).logits[0, -1, model.chat.letter_ids(LETTERS)].double().softmax(0).numpy()
        assert chances @ np.array(option_levels(order, 5)) == pytest.approx(of_order[place, 7], abs=1e-4)


def test_a_model_is_run_as_it_was_extracted_unless_told_otherwise(tmp_path: Path) -> None:
    folder, store = str(save_tiny(tmp_path / "tiny")), tmp_path / "store"
    list(pasctl.run([folder], pasctl.PipelineParams(personas="E+", options=ModelOptions(dtype="float32")), store=store))
    for model in (None, folder):
        keys = [
            evaluate(
                model=model,
                modes="no-change",
                reading="letters",
                store=store,
                dry_run=True,
                options=ModelOptions(dtype=dtype),
            ).key
            for dtype in ("auto", "float32", "bfloat16")
        ]
        assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("positions", ["all", "answer"])
def test_a_dry_run_counts_the_tokens_that_are_run_whatever_the_model_takes(
    window: int | None, positions: str, tmp_path: Path
) -> None:
    folder, store = save_tiny(tmp_path / "tiny", family="mistral"), tmp_path / "store"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": window}))
    options = ModelOptions(dtype="float32")
    planned = extract(str(folder), store=store, options=options, dry_run=True).plan
    made = extract(str(folder), store=store, options=options).artifact
    assert planned["tokens_run"] == counts(made)["tokens_run"]
    train_probes(personas=f"builtin:0-{PERSONAS}", store=store)
    fit_directions(store=store, top_k=6)
    asked = {"modes": "no-change,pas", "alpha": "1,2", "positions": positions, "neutral_text": "none", "store": store}
    asked |= {"reading": "letters"}
    planned = evaluate(**asked, dry_run=True).plan  # type: ignore[arg-type]
    done = counts(evaluate(**asked).artifact)  # type: ignore[arg-type]
    assert (planned["tokens_asked"], planned["tokens_run"]) == (done["tokens_asked"], done["tokens_run"])


def test_directions_of_another_model_are_refused(store: Path) -> None:
    with pytest.raises(InputError, match="made with another model"):
        evaluate(model=tiny_loaded(seed=1), directions="directions", store=store)


def test_the_published_log_needs_the_condition_at_one_strength(model: LoadedModel, store: Path, tmp_path: Path) -> None:
    written = export_published_log(results(model, store), tmp_path)
    assert written.name.startswith("PAS_")
    assert written.name.endswith("_OOD.json")
    log = json.loads(written.read_text(encoding="utf-8"))
    assert set(log) == {"score", "mean", "std"}
    assert len(log["mean"]["E"]) == PERSONAS
    for modes, alpha in [("no-change", "4"), ("pas", "2,4")]:
        with pytest.raises(InputError, match="one strength"):
            export_published_log(results(model, store, modes, alpha), tmp_path)


def test_answers_outlive_a_new_version_of_what_is_made_of_them(
    model: LoadedModel, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = results(model, store)
    monkeypatch.setattr(Evaluate, "version", Evaluate.version + 1)
    second = results(model, store)
    assert second.key != first.key
    assert counts(second)["units_reused"] == len(second.read_json("units.json")["parts"]) > 1
    assert counts(second)["tokens_run"] == 0
    assert second.read_json("metrics.json") == first.read_json("metrics.json")
