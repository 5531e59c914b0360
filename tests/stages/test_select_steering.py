"""Selection by steering: what it chooses is what plain steering of the validation items says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pasctl.directions import DIRECTIONS
from pasctl.directions.fit import fit_directions as fit
from pasctl.errors import InputError, MissingError
from pasctl.inventory import builtin_inventory, load_personas, question, signs
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.models.load import LoadedModel
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions, read_selection
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact
from pasctl.stages.train_probes import read_fit_items, train_probes
from pasctl.steering import Intervention, steer
from tests.tiny import save_tiny, tiny_loaded

pytestmark = pytest.mark.integration

PEOPLE = 4
ALPHAS = "4,8"
CONTROL = "shuffled.safetensors"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def probed(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("probed")
    extract(model, store=store, option_order="forward")
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


def naive_error(model: LoadedModel, store: Path, selection: dict, steered: list[list[int]], alpha: float) -> float:
    """Mean absolute error on the validation items, one unbatched forward pass an answer."""
    from pasctl.store import Store

    opened = Store(store)
    items = read_fit_items(next(iter(opened.candidates("activations"))))
    personas = load_personas(f"builtin:0-{PEOPLE}", builtin_inventory())
    ids = [builtin_inventory().items[place].id for place in items.columns]
    train = [place for place, name in enumerate(ids) if name not in selection["validation"]]
    found = fit(
        items.head_outputs[train],
        items.pairs,
        signs(personas.agreements[:, items.columns[train]], 3.0),
        np.repeat(np.array(steered)[None], PEOPLE, axis=0),
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


def all_of(model: LoadedModel, layers: list[int]) -> list[list[int]]:
    return [[layer, head] for layer in layers for head in range(model.geometry.heads)]


def test_every_trial_is_what_plain_steering_gives(model, probed, selected):
    selection = read_selection(selected)
    assert len(selection["validation"]) == 10
    whole = [tried for tried in selection["tried"] if tried["heads"] is None]
    single = [tried for tried in selection["tried"] if tried["heads"] and len(tried["heads"]) == 1]
    several = [tried for tried in selection["tried"] if tried["heads"] and len(tried["heads"]) > 1]
    assert len(whole) + len(single) + len(several) == len(selection["tried"])
    for kind in (whole, single, several):
        for tried in kind[:: max(1, len(kind) // 3)]:
            steered = tried["heads"] or all_of(model, tried["layers"])
            plain = naive_error(model, probed, selection, steered, tried["alpha"])
            assert tried["mae"] == pytest.approx(plain, abs=2e-5)


def test_heads_of_the_best_layers_are_ranked_and_the_lowest_error_of_all_is_chosen(model, selected):
    selection = read_selection(selected)
    whole = [tried for tried in selection["tried"] if tried["heads"] is None]
    best = min(whole, key=lambda tried: tried["mae"])
    assert selection["tried"][: len(whole)] == whole
    rest = selection["tried"][len(whole) :]
    every = all_of(model, best["layers"])
    single, sets = rest[: len(every)], rest[len(every) :]
    assert [(tried["heads"], tried["alpha"]) for tried in single] == [([head], best["alpha"]) for head in every]
    order = [head for _, head in sorted(zip([tried["mae"] for tried in single], every, strict=True))]
    wanted = [(order[:size], alpha) for size in (1, 2, 4, 8, 16) if size < len(every) for alpha in (4.0, 8.0)]
    wanted.remove((order[:1], best["alpha"]))
    assert [(tried["heads"], tried["alpha"]) for tried in sets] == wanted
    lowest = min(selection["tried"], key=lambda tried: tried["mae"])
    assert selection["alpha"] == lowest["alpha"]
    assert selection["layers"] == lowest["layers"]
    assert selection["heads"] == (lowest["heads"] or all_of(model, lowest["layers"]))


@pytest.mark.parametrize(("positions", "chosen"), [("all", "some heads"), ("answer", "whole layers")])
def test_the_directions_are_of_the_chosen_heads_and_of_all_fit_items(
    model, probed, selected, tmp_path, positions, chosen
):
    store = Path(shutil.copytree(probed, tmp_path / "store"))
    selected = select(model, store, positions=positions)
    selection, arrays = read_selection(selected), selected.read_arrays("directions.safetensors")
    heads = selection["heads"]
    assert (heads == all_of(model, selection["layers"])) is (chosen == "whole layers"), "the case is another"
    assert arrays["heads"].tolist() == [heads] * PEOPLE
    plain = fit_directions(
        store=store, top_k=model.geometry.layers * model.geometry.heads, center="population"
    ).artifact
    for known, every in ((arrays, "directions.safetensors"), (selected.read_arrays(CONTROL), CONTROL)):
        theta = plain.read_arrays(every)["theta"]
        for person in range(PEOPLE):
            places = plain.read_arrays("directions.safetensors")["heads"][person].tolist()
            for n, head in enumerate(heads):
                assert np.allclose(known["theta"][person, n], theta[person, places.index(head)], atol=1e-6)


def test_a_dry_run_tells_no_fewer_questions_than_there_are(model, probed, selected):
    plan = fit_directions(
        select="steering", alphas=ALPHAS, model=ModelHandle.of(model), store=probed, center="none", dry_run=True
    ).plan
    selection = read_selection(selected)
    assert plan["questions_at_most"] >= len(selection["tried"]) * PEOPLE * len(selection["validation"])
    assert plan["memory_bytes"] > model.footprint.resting


@pytest.mark.parametrize("ends_after", [5, 18])
def test_a_second_call_runs_nothing_and_a_killed_one_goes_on(
    model, probed, selected, tmp_path, monkeypatch, ends_after
):
    """It is killed among the layers, and among the heads."""
    assert fit_directions(
        select="steering", alphas=ALPHAS, model=ModelHandle.of(model), store=probed, center="population"
    ).reused
    store = Path(shutil.copytree(probed, tmp_path / "store"))
    import pasctl.stages.selector as selector

    whole, made = selector._Validation._measure, []

    def dying(self, *steered):
        if len(made) == ends_after:
            raise KeyboardInterrupt
        made.append(steered)
        return whole(self, *steered)

    with monkeypatch.context() as patched:
        patched.setattr(selector._Validation, "_measure", dying)
        with pytest.raises(KeyboardInterrupt):
            select(model, store, positions="answer")
    kept = list(made)
    assert any(heads for _, heads, _ in kept) is (ends_after == 18)

    def counting(self, *steered):
        made.append(steered)
        return whole(self, *steered)

    monkeypatch.setattr(selector._Validation, "_measure", counting)
    resumed = select(model, store, positions="answer")
    assert len(made) == len(set(made)), "a trial was run twice"
    assert len(made) == len(read_selection(resumed)["tried"]) + 1
    assert len(kept) == ends_after


def test_unfinished_trials_have_short_names_however_many_heads_there_are():
    from pasctl.stages.selector import _place

    many = [tuple((layer, head) for layer in (30, 31, 32) for head in range(count)) for count in (63, 64)]
    names = {_place((30, 31, 32), heads) for heads in [*many, None]}
    assert len(names) == 3
    assert max(map(len, names)) < 40


def test_what_cannot_be_selected_is_said(model, probed):
    with pytest.raises(InputError, match="select 'luck' is unknown"):
        fit_directions(select="luck", store=probed)
    with pytest.raises(InputError, match="no top-k"):
        fit_directions(select="steering", top_k=3, store=probed)
    with pytest.raises(InputError, match="positions 'here' is unknown"):
        fit_directions(select="steering", positions="here", model=ModelHandle.of(model), store=probed)


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
