"""Selection by steering: what it chooses is what plain steering of the validation items says, and eval takes it up."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pasctl.directions import DIRECTIONS
from pasctl.directions.fit import fit_directions as fit
from pasctl.errors import InputError, MissingError
from pasctl.inventory import LETTERS, builtin_inventory, load_personas, question, signs
from pasctl.models.load import LoadedModel
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions, read_selection
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact
from pasctl.stages.train_probes import read_fit_items, train_probes
from pasctl.steering import Intervention, steer
from tests.tiny import save_tiny, tiny_loaded

pytestmark = pytest.mark.integration

PEOPLE = 4
ALPHAS = "1,30"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def probed(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("probed")
    extract(model, store=store)
    train_probes(personas=f"builtin:0-{PEOPLE}", store=store)
    return store


def select(model: LoadedModel, store: Path, **options: str) -> Artifact:
    made = fit_directions(
        select="steering", alphas=ALPHAS, model=ModelHandle.of(model), store=store, center="population", **options
    ).artifact  # type: ignore[arg-type]
    assert made is not None
    return made


@pytest.fixture(scope="module")
def selected(model: LoadedModel, probed: Path) -> Artifact:
    return select(model, probed)


def naive_error(model: LoadedModel, store: Path, selection: dict, layers: list[int], alpha: float) -> float:
    """Mean absolute error on the validation items, one unbatched forward pass an answer."""
    from pasctl.store import Store

    opened = Store(store)
    items = read_fit_items(next(iter(opened.candidates("activations"))))
    personas = load_personas(f"builtin:0-{PEOPLE}", builtin_inventory())
    ids = [builtin_inventory().items[place].id for place in items.columns]
    train = [place for place, name in enumerate(ids) if name not in selection["validation"]]
    heads = np.array([[layer, head] for layer in layers for head in range(model.geometry.heads)])
    found = fit(
        items.head_outputs[train],
        items.pairs,
        signs(personas.agreements[:, items.columns[train]]),
        np.repeat(heads[None], PEOPLE, axis=0),
        DIRECTIONS.get("mass-mean")(),
        "population",
    )
    letters, errors = model.chat.letter_ids(LETTERS), []
    for person in range(PEOPLE):
        arrays = (torch.from_numpy(each[person]) for each in (found.heads, found.theta, found.sigma))
        moved = Intervention.from_heads(model.geometry, *arrays, alpha)
        for item in builtin_inventory().items:
            if item.id in selection["validation"]:
                prompt = torch.tensor([model.chat.encode(question(item, builtin_inventory()))])
                with steer(model, moved), torch.inference_mode():
                    chances = model.model(prompt).logits[0, -1, letters].double().softmax(0).numpy()
                answer = personas.agreements[person, builtin_inventory().items.index(item)]
                errors.append(abs(chances @ [5, 4, 3, 2, 1] - answer))
    return float(np.mean(errors))


def test_every_trial_is_what_plain_steering_gives(model, probed, selected):
    selection = read_selection(selected)
    assert selection is not None
    assert len(selection["validation"]) == 10
    for tried in selection["tried"][:: max(1, len(selection["tried"]) // 3)]:
        plain = naive_error(model, probed, selection, tried["layers"], tried["alpha"])
        assert tried["mae"] == pytest.approx(plain, abs=2e-5)
    lowest = min(selection["tried"], key=lambda tried: tried["mae"])
    assert (selection["layers"], selection["alpha"]) == (lowest["layers"], lowest["alpha"])


def test_the_directions_are_of_all_heads_of_the_chosen_layers_and_of_all_fit_items(model, probed, selected):
    selection, arrays = read_selection(selected), selected.read_arrays("directions.safetensors")
    heads = [[layer, head] for layer in selection["layers"] for head in range(model.geometry.heads)]
    assert arrays["heads"].tolist() == [heads] * PEOPLE
    plain = fit_directions(
        store=probed, top_k=model.geometry.layers * model.geometry.heads, center="population"
    ).artifact
    every = plain.read_arrays("directions.safetensors")
    for person in range(PEOPLE):
        place = {tuple(head): n for n, head in enumerate(every["heads"][person].tolist())}
        for n, head in enumerate(heads):
            assert np.allclose(arrays["theta"][person, n], every["theta"][person, place[tuple(head)]], atol=1e-6)


def test_eval_takes_the_alpha_and_the_positions_that_were_chosen(model, probed, selected, tmp_path):
    store = Path(shutil.copytree(probed, tmp_path / "store"))
    again = select(model, store, positions="answer")
    chosen = read_selection(again)
    modes = "no-change,pas,random-direction"
    results = evaluate(model=model, directions=again.name, alpha="auto", modes=modes, store=store).artifact
    assert results.params["alphas"] == [chosen["alpha"]]
    assert results.params["positions"] == "answer"
    same = evaluate(model=model, directions=again.name, alpha=chosen["alpha"], modes=modes, store=store)
    assert same.reused
    differences = results.read_json("metrics.json")["differences"]
    assert [(row["condition"], row["against"]) for row in differences] == [
        ("no-change", "constant-3"),
        ("pas", "no-change"),
        ("pas", "random-direction"),
        ("pas", "constant-3"),
        ("random-direction", "no-change"),
        ("random-direction", "constant-3"),
    ]
    other = evaluate(model=model, directions=again.name, alpha="auto", modes=modes, store=store, seed=1)
    table = [each.read_json("metrics.json")["conditions"] for each in (results, other.artifact)]
    of = [{row["condition"]: row["composite"] for row in rows} for rows in table]
    assert of[0]["pas"] == of[1]["pas"]
    assert of[0]["random-direction"] != of[1]["random-direction"]


def test_a_second_call_runs_nothing_and_a_killed_one_goes_on(model, probed, selected, tmp_path, monkeypatch):
    assert fit_directions(
        select="steering", alphas=ALPHAS, model=ModelHandle.of(model), store=probed, center="population"
    ).reused
    store = Path(shutil.copytree(probed, tmp_path / "store"))
    import pasctl.stages.selector as selector

    whole, made = selector._Validation._measure, []

    def dying(self, layers, alpha):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append((layers, alpha))
        return whole(self, layers, alpha)

    with monkeypatch.context() as patched:
        patched.setattr(selector._Validation, "_measure", dying)
        with pytest.raises(KeyboardInterrupt):
            select(model, store, positions="answer")
    kept = list(made)

    def counting(self, layers, alpha):
        made.append((layers, alpha))
        return whole(self, layers, alpha)

    monkeypatch.setattr(selector._Validation, "_measure", counting)
    resumed = select(model, store, positions="answer")
    assert len(made) == len(set(made)), "a trial was run twice"
    assert len(made) == len(read_selection(resumed)["tried"]) + 1
    assert len(kept) == 5


def test_what_cannot_be_selected_is_said(model, probed):
    with pytest.raises(InputError, match="selection 'luck' is unknown"):
        fit_directions(select="luck", store=probed)
    with pytest.raises(InputError, match="no top-k"):
        fit_directions(select="steering", top_k=3, store=probed)
    with pytest.raises(InputError, match="positions 'here' is unknown"):
        fit_directions(select="steering", positions="here", model=ModelHandle.of(model), store=probed)
    plain = fit_directions(store=probed, top_k=2).artifact
    with pytest.raises(InputError, match=r"alpha is auto, but .* was not selected by steering"):
        evaluate(model=model, directions=plain.name, alpha="auto", store=probed)


def test_a_model_that_moved_is_steered_where_it_is_now(tmp_path):
    """Its probes name the folder it was in; the one given has the same weights."""
    here, there = save_tiny(tmp_path / "here"), tmp_path / "there"
    store = tmp_path / "store"
    extract(str(here), store=store)
    train_probes(personas="builtin:0-2", store=store)
    here.rename(there)
    with pytest.raises(MissingError, match="here"):
        fit_directions(select="steering", alphas="1", store=store)
    moved = fit_directions(select="steering", alphas="1", model=str(there), store=store)
    assert read_selection(moved.artifact)["alpha"] == 1.0
