"""What stands beside PAS: controls, prose, side effects, a text audit, trait poles; all of it is in the rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pasctl
from pasctl.errors import InputError, MissingError
from pasctl.evaluation.audit import audit_table
from pasctl.evaluation.differences import differences_table
from pasctl.evaluation.metrics import metrics_table
from pasctl.evaluation.rows import from_table
from pasctl.evaluation.side_effects import FREE_PROMPTS
from pasctl.evaluation.trait_shifts import trait_shifts
from pasctl.inventory import builtin_inventory, question
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.models.load import LoadedModel
from pasctl.stages.evaluate import evaluate, with_inputs
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DirectionSet
from pasctl.stages.train_probes import train_probes
from pasctl.steering import Intervention, steer
from tests.tiny import tiny_loaded

pytestmark = pytest.mark.integration

PEOPLE = 5


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def master(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("fitted")
    extract(model, store=store)
    train_probes(personas=f"builtin:0-{PEOPLE}", store=store)
    fit_directions(store=store, top_k=6)
    return store


@pytest.fixture
def store(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "store"))


def results(model: LoadedModel, store: Path, **options: object) -> Artifact:
    """Unless told otherwise the answer alone is steered, which takes a third of the time."""
    artifact = evaluate(model=model, store=store, **{"positions": "answer", "reading": "letters", **options}).artifact  # type: ignore[arg-type]
    assert artifact is not None
    return artifact


@pytest.fixture(scope="module")
def full(model: LoadedModel, master: Path) -> Artifact:
    return results(model, master, alpha="0,30,oracle", modes="all", control_draws=2, audit=40, option_orders=2)


def naive(model: LoadedModel, moved: Intervention, positions: str, item: object, order: str) -> float:
    from pasctl.inventory import option_levels

    prompt = torch.tensor([model.chat.encode(question(item, builtin_inventory(), order))])  # type: ignore[arg-type]
    with steer(model, moved, positions=positions), torch.inference_mode():
        chances = model.model(prompt).logits[0, -1, model.chat.letter_ids(LETTERS)].double().softmax(0).numpy()
    return float(chances @ np.array(option_levels(order, 5)))


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_controls_steer_along_their_own_directions_and_as_far(
    positions: str, model: LoadedModel, store: Path, full: Artifact
) -> None:
    source = pasctl.Store(store).resolve("directions")
    fitted, made = DirectionSet.read(source), full
    if positions == "all":
        modes, orders = "random-direction,shuffled-answers", {"control_draws": 2, "option_orders": 2}
        made = results(model, store, alpha="30", modes=modes, positions=positions, neutral_text="none", **orders)
    rows, inventory = from_table(made.read_table("rows.parquet")), builtin_inventory()
    controls = {
        ("random-direction", 0): fitted.randomized(0),
        ("random-direction", 1): fitted.randomized(0, 1),
        ("shuffled-answers", 0): DirectionSet.shuffled(source),
    }
    item = inventory.items[inventory.indices("report")[5]]
    found = {}
    for (condition, draw), directions in controls.items():
        for persona in (0, PEOPLE - 1):
            [place] = np.flatnonzero(
                (rows["condition"] == condition)
                & (rows["setting"] == "30")
                & (rows["draw"] == draw)
                & (rows["persona"] == fitted.personas.ids[persona])
                & (rows["item"] == item.id)
            )
            moved = directions.intervention(model.geometry, persona, 30.0)
            expected = np.mean([naive(model, moved, positions, item, o) for o in ("forward", "reversed")])
            assert rows["expected"][place] == pytest.approx(expected, abs=1e-4)
            found[condition, draw, persona] = rows["expected"][place]
    assert len(set(found.values())) == len(found)


def test_draws_of_random_directions_are_told_and_an_oracle_is_no_worse_than_a_strength(full: Artifact) -> None:
    table = {(row["condition"], row["setting"]): row for row in full.read_json("metrics.json")["conditions"]}
    assert table["random-direction", "30"]["draws"] == len(table["random-direction", "30"]["draw_composites"]) == 2
    assert table["shuffled-answers", "30"]["draws"] == 1
    assert table["pas", "oracle"]["composite"] <= min(table["pas", alpha]["composite"] for alpha in ("0", "30"))


def test_every_number_is_in_the_rows(full: Artifact) -> None:
    """The whole of metrics.json is made again from the row files alone."""
    metrics, rows = full.read_json("metrics.json"), from_table(full.read_table("rows.parquet"))
    assert json.loads(json.dumps(metrics_table(rows))) == metrics["conditions"]
    assert json.loads(json.dumps(differences_table(rows))) == metrics["differences"]
    assert audit_table(from_table(full.read_table("audit.parquet"))) == metrics["audit"]
    effects = from_table(full.read_table("side_effects.parquet"))
    for told in metrics["side_effects"]["rows"]:
        mine = (effects["condition"] == told["condition"]) & (effects["setting"] == told["setting"])
        assert told["kl"][0] == pytest.approx(effects["kl"][mine].mean())
        assert told["perplexity"][0] == pytest.approx(effects["perplexity"][mine].mean())


def test_the_script_of_the_docs_gives_the_reports_numbers(full: Artifact, master: Path) -> None:
    page = (Path(pasctl.__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    [script] = [block.split("```")[0] for block in page.split("```python\n")[1:] if "groupby" in block]
    assert len(script.strip().splitlines()) <= 13
    script = script.replace('"artifacts"', repr(str(master))).replace("results/qwen3-0.6b/builtin-big5", full.name)
    names: dict[str, Any] = {}
    exec(compile(script, "docs/python.md", "exec"), names)  # noqa: S102 - our own page
    composites = names["mae"].sum(axis=1)
    conditions = full.read_json("metrics.json")["conditions"]
    assert len(composites) == len(conditions)
    for row in conditions:
        assert composites[row["reading"], row["condition"], row["setting"]] == pytest.approx(row["composite"])


def test_side_effects_are_those_of_each_displacement_beside_the_model_left_alone(full: Artifact) -> None:
    effects, runs = full.read_json("metrics.json")["side_effects"], full.read_json("side_effects.json")
    table = {(row["condition"], row["setting"]): row for row in effects["rows"]}
    assert set(table) == {(c, s) for c in ("pas", "random-direction", "shuffled-answers") for s in ("0", "30")}
    assert table["pas", "0"]["kl"] == [0.0, 0.0, 0.0]
    assert table["pas", "30"]["kl"][0] > 0
    assert table["pas", "0"]["perplexity"][0] == pytest.approx(effects["unsteered"]["perplexity"])
    assert len(runs) == 1 + 3 * PEOPLE, "alpha 0 is the model left alone"
    assert all(len(run["texts"]) == len(FREE_PROMPTS) for run in runs.values())
    rows = from_table(full.read_table("side_effects.parquet"))
    for run, kl, perplexity in zip(rows["run"], rows["kl"], rows["perplexity"], strict=True):
        assert (kl, perplexity) == (runs[run]["kl"], runs[run]["perplexity"])


def test_no_displacement_is_measured_twice_whichever_result_asks(
    model: LoadedModel, store: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The kettle stands beside the stove and is filled from the tap. " * 20)
    given = {"neutral_text": str(text), "positions": "answer"}  # the store of this module holds results about ours
    untouched = Path(shutil.copytree(store, tmp_path / "untouched"))
    first = results(model, store, alpha="30", modes="pas", **given)
    assert first.provenance["counts"]["side_effects_reused"] == 0
    planned = evaluate(
        model=model,
        store=store,
        alpha="0,30,60",
        modes="pas,shuffled-answers",
        audit=3,
        dry_run=True,
        reading="letters",
        **given,
    )
    more = results(model, store, alpha="0,30,60", modes="pas,shuffled-answers", audit=3, **given)
    counted = more.provenance["counts"]
    assert counted["side_effects"] == 1 + 4 * PEOPLE
    assert counted["side_effects_reused"] == 1 + PEOPLE
    assert planned.plan["side_effects_to_measure"] == 3 * PEOPLE
    assert planned.plan["answers_to_write"] == counted["answers_written"] == 3
    whole = results(model, untouched, alpha="0,30,60", modes="pas,shuffled-answers", audit=3, **given)
    assert whole.provenance["counts"]["side_effects_reused"] == 0
    assert counted["side_effect_tokens_run"] < whole.provenance["counts"]["side_effect_tokens_run"]
    pieced, at_once = (each.read_json("metrics.json")["side_effects"] for each in (more, whole))
    for one, other in zip(pieced["rows"], at_once["rows"], strict=True):
        assert one["kl"] == pytest.approx(other["kl"], rel=1e-4)


def test_the_neutral_text_may_be_another_or_none(model: LoadedModel, store: Path, full: Artifact) -> None:
    without = results(model, store, alpha="30", modes="pas", neutral_text="none")
    assert "side_effects" not in without.read_json("metrics.json")
    (store / "other.txt").write_text("The kettle stands beside the stove and is filled from the tap. " * 20)
    other = results(model, store, alpha="30", modes="pas", neutral_text=str(store / "other.txt"))
    found = other.read_json("metrics.json")["side_effects"]
    assert found["text"] == "other.txt"
    assert found["unsteered"]["perplexity"] != full.read_json("metrics.json")["side_effects"]["unsteered"]["perplexity"]


def test_an_audit_writes_answers_in_every_condition_and_keeps_them(model: LoadedModel, full: Artifact) -> None:
    rows = from_table(full.read_table("audit.parquet"))
    assert len(rows["text"]) == 40
    per_group = {}
    for condition, setting in zip(rows["condition"], rows["setting"], strict=True):
        per_group[condition, setting] = per_group.get((condition, setting), 0) + 1
    assert set(per_group.values()) <= {3, 4}
    assert "oracle" not in set(rows["setting"])
    asked = full.read_json("units.json")["parts"], full.read_arrays("answers.safetensors")["level_logprobs"]
    assert asked[1].shape[1] == 2
    told = full.read_json("metrics.json")["audit"]
    assert sum(row["answers"] for row in told) == 40
    place = int(np.flatnonzero(rows["condition"] == "no-change")[0])
    item = next(each for each in builtin_inventory().items if each.id == rows["item"][place])
    prompt = torch.tensor([model.chat.encode(question(item, builtin_inventory()))])
    with torch.inference_mode():
        written = model.model.generate(prompt, max_new_tokens=16, do_sample=False)[0, prompt.shape[1] :]
    assert model.tokenizer.decode(written, skip_special_tokens=True) == rows["text"][place]


def test_prose_that_is_given_is_told_word_for_word(model: LoadedModel, store: Path, tmp_path: Path) -> None:
    ids = DirectionSet.read(pasctl.Store(store).resolve("directions")).personas.ids
    told = {name: f"You are number {place} of a queue." for place, name in enumerate(ids)}
    path = tmp_path / "prose.json"
    path.write_text(json.dumps(told))
    rows = from_table(results(model, store, modes="given-prose", prose=str(path)).read_table("rows.parquet"))
    item = builtin_inventory().items[builtin_inventory().indices("report")[0]]
    for persona in (0, 3):
        prompt = torch.tensor([model.chat.encode(question(item, builtin_inventory()), told[ids[persona]])])
        with torch.inference_mode():
            chances = model.model(prompt).logits[0, -1, model.chat.letter_ids(LETTERS)].double().softmax(0).numpy()
        mine = (rows["persona"] == ids[persona]) & (rows["item"] == item.id) & (rows["condition"] == "given-prose")
        assert rows["expected"][mine].iloc[0] == pytest.approx(chances @ [5, 4, 3, 2, 1], abs=1e-4)
    assert (
        "given-prose"
        in evaluate(model=model, store=store, prose=str(path), modes="given-prose", reading="letters").artifact.params[
            "conditions"
        ]
    )  # type: ignore[union-attr]
    del told[ids[1]]
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match=f"1 of {PEOPLE} personas have no text: {ids[1]}"):
        results(model, store, prose=str(path))
    with pytest.raises(InputError, match="needs prose"):
        results(model, store, modes="given-prose")
    with pytest.raises(MissingError, match=r"gone\.json"):
        results(model, store, prose="gone.json")


def test_trait_poles_tell_what_moves_and_few_personas_have_no_intervals(model: LoadedModel, tmp_path: Path) -> None:
    extract(model, store=tmp_path)
    train_probes(personas="E+,N-", store=tmp_path)
    fit_directions(store=tmp_path, top_k=6)
    made = results(model, tmp_path, alpha="20", modes="no-change,pas")
    metrics = made.read_json("metrics.json")
    shifts = metrics["trait_shifts"]
    expected = trait_shifts(from_table(made.read_table("rows.parquet")))
    assert shifts == [{"reading": "letters", **shift} for shift in expected]
    assert [(row["persona"], row["trait"]) for row in shifts] == [(p, t) for p in ("E+", "N-") for t in "OCEAN"]
    assert metrics["notes"] == ["2 personas: no intervals and no distinctive r, they need at least 3"]
    assert metrics["conditions"][0]["composite_interval"] is None


def test_results_come_with_what_they_were_made_from(model: LoadedModel, store: Path) -> None:
    made = results(model, store, alpha="auto", alphas="0,20", modes="pas", neutral_text="none")
    assert [artifact.kind for artifact in with_inputs(made, store)] == ["results", "directions", "strengths"]
