"""The choice of alpha: it is what refitting without a fold and steering plainly gives, and eval takes it up."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pasctl.directions import DIRECTIONS
from pasctl.directions.fit import fit_directions as fit
from pasctl.directions.select import top_heads
from pasctl.errors import InputError, MissingError
from pasctl.evaluation.choice import choose_alphas
from pasctl.evaluation.rows import Rows, from_table
from pasctl.inventory import PersonaSet, builtin_inventory, load_personas, question, signs
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.models.load import LoadedModel
from pasctl.probes import PROBES
from pasctl.probes.fit import fit_probes
from pasctl.probes.split import split_items
from pasctl.stages import cross_validation
from pasctl.stages.budget import beyond_budget
from pasctl.stages.choose_alpha import choose_alpha, chosen_alphas
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.steering import DirectionSet
from pasctl.stages.train_probes import read_fit_items, train_probes
from pasctl.steering import Intervention, steer
from tests.tiny import tiny_loaded

pytestmark = pytest.mark.integration

PEOPLE, TOP_K = 5, 4
ALPHAS = (0.0, 10.0, 40.0)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def master(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("fitted")
    extract(model, store=store)
    train_probes(personas=f"builtin:0-{PEOPLE}", store=store)
    fit_directions(store=store, top_k=TOP_K, center="population")
    return store


@pytest.fixture
def store(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "store"))


def strengths(model: LoadedModel, store: Path, **options: object) -> Artifact:
    made = choose_alpha(model=model, store=store, **{"alphas": ALPHAS, **options}).artifact  # type: ignore[arg-type]
    assert made is not None
    return made


@pytest.fixture(scope="module")
def made(model: LoadedModel, master: Path) -> Artifact:
    return strengths(model, master)


def errors_of(made: Artifact) -> np.ndarray:
    rows = from_table(made.read_table("rows.parquet"))
    return np.abs(rows["expected"] - rows["agreement"]).to_numpy().reshape(len(ALPHAS), PEOPLE, -1)


def row(rows: Rows, persona: str, alpha: float, item: str) -> int:
    [found] = np.flatnonzero((rows["persona"] == persona) & (rows["alpha"] == alpha) & (rows["item"] == item))
    return int(found)


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_an_answer_is_that_of_a_plain_pass_steered_by_what_is_fitted_without_its_fold(
    model: LoadedModel, store: Path, positions: str
) -> None:
    from pasctl.store import Store

    made = strengths(model, store, positions=positions)
    rows, inventory = from_table(made.read_table("rows.parquet")), builtin_inventory()
    personas = load_personas(f"builtin:0-{PEOPLE}", inventory)
    items = read_fit_items(next(iter(Store(store).candidates("activations"))))
    letters = model.chat.letter_ids(LETTERS)
    for fold in (0, 3):
        names = set(rows["item"][rows["fold"] == fold])
        train = [n for n, column in enumerate(items.columns) if inventory.items[column].id not in names]
        held = split_items([items.traits[n] for n in train], 0.25, 0)
        labels = signs(personas.agreements[:, items.columns[train]], 3.0)
        scores = fit_probes(items.head_outputs[train], items.pairs, labels, held, PROBES.get("logistic")(c=1.0))
        heads = top_heads(scores.accuracy, scores.log_loss, TOP_K)
        method = DIRECTIONS.get("mass-mean")()
        found = fit(items.head_outputs[train], items.pairs, labels, heads, method, "population")
        name = sorted(names)[1]
        item = next(each for each in inventory.items if each.id == name)
        for person, alpha in ((0, 10.0), (4, 40.0), (2, 0.0)):
            arrays = (torch.from_numpy(each[person]) for each in (found.heads, found.theta, found.sigma))
            moved = Intervention.from_heads(model.geometry, *arrays, alpha)
            prompt = torch.tensor([model.chat.encode(question(item, inventory))])
            with steer(model, moved, positions=positions), torch.inference_mode():
                chances = model.model(prompt).logits[0, -1, letters].double().softmax(0).numpy()
            place = row(rows, personas.ids[person], alpha, name)
            assert rows["expected"][place] == pytest.approx(chances @ [5, 4, 3, 2, 1], abs=1e-4)
            assert rows["agreement"][place] == personas.agreements[person, inventory.items.index(item)]


def test_every_fit_item_is_held_out_once_and_no_report_item_is_asked(made: Artifact) -> None:
    rows, inventory = from_table(made.read_table("rows.parquet")), builtin_inventory()
    assert set(rows["item"]) == {inventory.items[place].id for place in inventory.indices("fit")}
    one = (rows["persona"] == rows["persona"][0]) & (rows["alpha"] == ALPHAS[0])
    assert len(set(rows["item"][one])) == one.sum() == 30
    assert np.bincount(rows["fold"][one]).tolist() == [8, 8, 7, 7]
    curves = made.read_json("curves.json")
    assert np.allclose(curves["mae"], errors_of(made).mean(axis=2))
    assert curves["kl"][0] == [0.0] * PEOPLE
    assert min(curves["kl"][1]) > 0
    assert min(np.subtract(curves["kl"][2], curves["kl"][1])) > 0


def test_what_the_personas_answer_to_report_items_changes_nothing(
    model: LoadedModel, made: Artifact, tmp_path: Path
) -> None:
    inventory = builtin_inventory()
    people = load_personas(f"builtin:0-{PEOPLE}", inventory)
    other = people.agreements.copy()
    other[:, inventory.indices("report")] = 6 - other[:, inventory.indices("report")]
    store = tmp_path / "store"
    extract(model, store=store)
    train_probes(personas=PersonaSet(people.label, people.ids, other), store=store)
    fit_directions(store=store, top_k=TOP_K, center="population")
    again = strengths(model, store)
    assert again.key != made.key
    assert again.read_json("curves.json") == made.read_json("curves.json")


def test_heads_that_were_selected_by_steering_stay_and_directions_are_fitted_again(
    model: LoadedModel, store: Path
) -> None:
    source = fit_directions(
        store=store, select="steering", alphas="20", positions="answer", center="none", model=ModelHandle.of(model)
    ).artifact
    assert source is not None
    made = strengths(model, store)
    assert made.params["positions"] == "answer", "as they were selected"
    rows, inventory = from_table(made.read_table("rows.parquet")), builtin_inventory()
    personas = load_personas(f"builtin:0-{PEOPLE}", inventory)
    items = read_fit_items(next(iter(Store(store).candidates("activations"))))
    whole = source.read_arrays("directions.safetensors")
    names = sorted(set(rows["item"][rows["fold"] == 1]))
    train = [n for n, column in enumerate(items.columns) if inventory.items[column].id not in names]
    labels = signs(personas.agreements[:, items.columns[train]], 3.0)
    found = fit(items.head_outputs[train], items.pairs, labels, whole["heads"], DIRECTIONS.get("mass-mean")(), "none")
    assert (found.theta != whole["theta"]).any()
    item = next(each for each in inventory.items if each.id == names[0])
    prompt, letters = torch.tensor([model.chat.encode(question(item, inventory))]), model.chat.letter_ids(LETTERS)
    for person in (0, 3):
        arrays = (torch.from_numpy(each[person]) for each in (found.heads, found.theta, found.sigma))
        with (
            steer(model, Intervention.from_heads(model.geometry, *arrays, 40.0), positions="answer"),
            torch.inference_mode(),
        ):
            chances = model.model(prompt).logits[0, -1, letters].double().softmax(0).numpy()
        place = row(rows, personas.ids[person], 40.0, names[0])
        assert rows["expected"][place] == pytest.approx(chances @ [5, 4, 3, 2, 1], abs=1e-4)


def test_eval_steers_each_persona_as_strongly_as_was_chosen(model: LoadedModel, store: Path) -> None:
    made = strengths(model, store)
    for scope in ("persona", "population"):
        results = evaluate(
            model=model,
            store=store,
            alpha="auto",
            alphas=ALPHAS,
            alpha_scope=scope,
            budget_kl=None,
            modes="no-change,pas",
            reading="letters",
            neutral_text="none",
        ).artifact
        assert results is not None
        assert results.inputs["strengths"].key == made.key
        chosen = choose_alphas(errors_of(made), ALPHAS, scope)
        rows = from_table(results.read_table("rows.parquet"))
        of_pas = rows["condition"] == "pas"
        assert set(rows["setting"][of_pas]) == {"auto"}
        for person, name in enumerate(made.read_json("curves.json")["personas"]):
            assert set(rows["alpha"][of_pas & (rows["persona"] == name)]) == {chosen[person]}
        metrics = results.read_json("metrics.json")
        assert metrics["choice"]["scope"] == scope
        [told] = [row for row in metrics["conditions"] if row["condition"] == "pas"]
        assert sum(told["alphas"].values()) == PEOPLE
        plain = evaluate(
            model=model, store=store, alpha=ALPHAS, modes="no-change,pas", neutral_text="none", reading="letters"
        ).artifact
        assert plain is not None
        given = from_table(plain.read_table("rows.parquet"))
        for place in np.flatnonzero(of_pas)[::7]:
            [same] = np.flatnonzero(
                (given["condition"] == "pas")
                & (given["persona"] == rows["persona"][place])
                & (given["item"] == rows["item"][place])
                & (given["alpha"] == rows["alpha"][place])
            )
            assert given["expected"][same] == rows["expected"][place]


def test_a_budget_keeps_alphas_that_move_neutral_text_too_far_from_being_chosen(made: Artifact) -> None:
    kl = np.array(made.read_json("curves.json")["kl"])
    for scope in ("persona", "population"):
        free = chosen_alphas(made, scope, None)
        assert (chosen_alphas(made, scope, 1e9) == free).all()
        assert (chosen_alphas(made, scope, 0.0) == 0).all()
        budget = float(np.median(kl[1]))
        limited = chosen_alphas(made, scope, budget)
        reached = np.array([kl[ALPHAS.index(alpha), person] for person, alpha in enumerate(limited)])
        assert (reached if scope == "persona" else reached.mean(keepdims=True)).max() <= budget


def test_a_second_call_runs_nothing_and_a_killed_one_goes_on(
    model: LoadedModel, made: Artifact, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_alpha(model=model, store=store, alphas=ALPHAS).reused
    fit_directions(store=store, top_k=TOP_K, center="population", seed=1)
    whole, asked = cross_validation.CrossValidation._answer, []

    def dying(self, work, places, interventions, counts):
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append((tuple(places), len(interventions)))
        return whole(self, work, places, interventions, counts)

    with monkeypatch.context() as patched:
        patched.setattr(cross_validation.CrossValidation, "_answer", dying)
        with pytest.raises(KeyboardInterrupt):
            strengths(model, store)

    def counting(self, work, places, interventions, counts):
        asked.append((tuple(places), len(interventions)))
        return whole(self, work, places, interventions, counts)

    monkeypatch.setattr(cross_validation.CrossValidation, "_answer", counting)
    resumed = strengths(model, store)
    # the model left alone once, and every fold at two strengths for all personas
    assert [people for _, people in asked] == [1, *[PEOPLE] * 4 * 2]
    assert resumed.read_json("curves.json") == made.read_json("curves.json")


def test_what_cannot_be_chosen_from_is_said_in_a_line(
    model: LoadedModel, store: Path, made: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"alphas to choose from must have 0 among them, .* found 1,2"):
        strengths(model, store, alphas="1,2")
    with pytest.raises(InputError, match="alphas to choose from must have 0 among them"):
        evaluate(model=model, store=store, alpha="auto", alphas="1,2")
    with pytest.raises(InputError, match="the oracle's alphas must have 0"):
        evaluate(model=model, store=store, alpha="1,oracle")
    with pytest.raises(InputError, match="folds"):
        strengths(model, store, folds=31)
    with pytest.raises(InputError, match="alpha scope 'everyone' is unknown"):
        evaluate(model=model, store=store, alpha="auto", alpha_scope="everyone")
    with pytest.raises(InputError, match="KL budget"):
        evaluate(model=model, store=store, alpha="auto", budget_kl=-1)
    with pytest.raises(MissingError, match=r"nowhere.txt"):
        strengths(model, store, neutral_text=str(tmp_path / "nowhere.txt"))
    name = strengths(model, store).name
    with pytest.raises(InputError, match="for alpha auto"):
        evaluate(model=model, store=store, alpha="4", strengths=name)
    fit_directions(store=store, top_k=3)
    with pytest.raises(InputError, match=r"was chosen for directions/.*, not for directions/"):
        evaluate(model=model, store=store, alpha="auto", strengths=name)


def test_a_dry_run_says_what_would_be_chosen_first(model: LoadedModel, store: Path) -> None:
    planned = evaluate(model=model, store=store, alpha="auto", alphas="0,3", dry_run=True)
    assert (planned.stage, planned.artifact) == ("choose-alpha", None)
    told = dict(planned.plan)
    assert told.pop("memory_bytes") > model.footprint.resting
    assert told == {"personas": PEOPLE, "questions": 30 * (1 + PEOPLE)}


def test_a_memory_limit_that_cannot_be_kept_is_told_by_a_dry_run(model: LoadedModel, store: Path) -> None:
    limited = dataclasses.replace(model, max_memory=model.footprint.resting)
    with pytest.raises(InputError, match="needs at least"):
        choose_alpha(model=limited, store=store, alphas="0,3", dry_run=True)


def test_what_is_asked_for_enters_the_key_and_how_it_is_batched_does_not(model: LoadedModel, store: Path) -> None:
    def key(**changed: object) -> str:
        return choose_alpha(model=model, store=store, dry_run=True, **{"alphas": "0,10", **changed}).key  # type: ignore[arg-type]

    (store / "text.txt").write_text("The tide comes in twice a day.")
    changes: list[dict[str, object]] = [
        {},
        {"alphas": "0,11"},
        {"folds": 3},
        {"positions": "answer"},
        {"neutral_text": str(store / "text.txt")},
        {"seed": 1},
    ]
    assert len({key(**each) for each in changes}) == len(changes)
    assert key(batch_tokens=100) == key()


def test_nothing_is_chosen_where_nothing_is_steered(model: LoadedModel, store: Path) -> None:
    made = evaluate(
        model=model, store=store, alpha="auto", modes="no-change", neutral_text="none", reading="letters"
    ).artifact
    assert made is not None
    assert set(made.inputs) == {"directions"}
    assert "choice" not in made.read_json("metrics.json")


def test_a_given_alpha_is_warned_of_where_its_kl_is_beyond_the_budget(made: Artifact, store: Path) -> None:
    opened = Store(store)
    directions = opened.resolve(made.inputs["directions"].key, "directions")
    curves = made.read_json("curves.json")
    alpha = max(ALPHAS)
    for row, name in enumerate(curves["personas"]):
        known = DirectionSet.read(directions, np.array([row]))
        kl = curves["kl"][ALPHAS.index(alpha)][row]
        told = beyond_budget(opened, directions, known, made.params["positions"], alpha, kl * 0.99)
        assert told.startswith(f"{name} at alpha {alpha:g}")
        assert f"budget of {kl * 0.99:g}" in told
        for budget in (kl * 1.01, None):
            assert not beyond_budget(opened, directions, known, made.params["positions"], alpha, budget)
        assert not beyond_budget(opened, directions, known, made.params["positions"], 0.0, 0.0)
        # nothing was measured there, and these directions tell no dose
        assert not beyond_budget(opened, directions, known, "answer", alpha, 0.0)
