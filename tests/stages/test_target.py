"""Who is steered to: one resolver, whose strength is what choose-alpha chose, and the names it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import pasctl
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.models.load import LoadedModel
from pasctl.stages.job import Outcome
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.progress import Silent
from pasctl.stages.run import Run
from pasctl.stages.steering import DirectionSet, ResolvedTarget
from pasctl.stages.target import resolve
from tests.tiny import tiny_loaded

PEOPLE = ("s01", "s02", "s03")


class Notes(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Remember a line."""
        self.notes.append(text)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def master(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("fitted")
    pasctl.extract(model, store=store)
    pasctl.train_probes(personas="builtin:0-3", store=store)
    pasctl.fit_directions(store=store, top_k=4)
    return store


@pytest.fixture
def store(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "store"))


@pytest.fixture(scope="module")
def chosen(model: LoadedModel, master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with strengths."""
    store = Path(shutil.copytree(master, tmp_path_factory.mktemp("chosen") / "store"))
    pasctl.choose_alpha(model=model, alphas="0,30", folds=2, store=store, neutral_text=_text(store.parent))
    return store


def _text(folder: Path) -> str:
    (folder / "text").write_text("The life of the party.")
    return str(folder / "text")


def resolved(target: SteeringTarget, run: Run, model: LoadedModel) -> ResolvedTarget:
    made = resolve(target, run, run.model(model))
    assert isinstance(made, ResolvedTarget)
    return made


def test_a_number_is_taken_as_it_is_and_enters_the_key_as_before(model: LoadedModel, master: Path) -> None:
    target = resolved(SteeringTarget(persona="s02", alpha=2.5), Run(master), model)
    whole = DirectionSet.read(target.directions)
    row = whole.personas.ids.index("s02")
    assert target.params == {"persona": "s02", "alpha": 2.5, "directions": whole.digest(row)}
    assert (target.positions, target.why) == ("all", "")
    expected = whole.intervention(model.geometry, row, 2.5)
    for layer, deltas in target.intervention(model.geometry).displacements.items():
        assert deltas.equal(expected.displacements[layer])
    assert target.layers == sorted(expected.displacements)


def test_auto_is_what_was_chosen_for_each_persona(model: LoadedModel, chosen: Path) -> None:
    notes = Notes()
    run = Run(chosen, reporter=notes)
    strengths = next(run.store.candidates("strengths"))
    expected = strengths.read_json("curves.json")["chosen"]["persona"]
    found = [resolved(SteeringTarget(persona=who), run, model).alpha for who in PEOPLE]
    assert found == expected
    assert [line.startswith(f"{who} at alpha") for who, line in zip(PEOPLE, notes.notes, strict=True)] == [True] * 3
    zeros = ["none was better" in line for line in notes.notes]
    assert zeros == [alpha == 0 for alpha in expected]
    # strengths of other positions are not those of this target
    with pytest.raises(InputError, match="with positions answer") as refused:
        PersonaCatalog(run, run.model(model), SteeringTarget(positions="answer")).find("s01")
    assert "--positions answer" in (refused.value.hint or "")


def test_where_none_was_chosen_it_is_chosen_first_with_the_same_model(
    model: LoadedModel, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    planned = resolve(SteeringTarget(persona="s01"), Run(store, dry_run=True), ModelHandle.of(model))
    assert isinstance(planned, Outcome)
    assert planned.artifact is None

    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model is loaded again")

    monkeypatch.setattr("pasctl.models.load.load_model", load)
    run = Run(store, reporter=notes)
    target = resolved(SteeringTarget(persona="s01"), run, model)
    strengths = next(run.store.candidates("strengths"))
    assert target.alpha == strengths.read_json("curves.json")["chosen"]["persona"][0]
    assert "no alpha was chosen" in notes.notes[0]
    assert pasctl.intervention(model, "s01", store=store).displacements.keys() == set(target.layers)


def test_without_a_choice_a_catalog_names_the_command_that_makes_one(model: LoadedModel, master: Path) -> None:
    run = Run(master)
    catalog = PersonaCatalog(run, run.model(model))
    for refuse in (catalog.require_alphas, lambda: catalog.find("s01")):
        with pytest.raises(InputError, match="no alpha was chosen") as refused:
            refuse()
        assert f"pasctl choose-alpha --directions {catalog.sources[0].name}" in (refused.value.hint or "")
    assert catalog.find("s01", 0).alpha == 0


def test_names_reach_one_persona_whatever_their_form(model: LoadedModel, master: Path) -> None:
    run = Run(master)
    catalog = PersonaCatalog(run, run.model(model), SteeringTarget(alpha=3))
    name, key = catalog.sources[0].name, catalog.sources[0].short_key
    forms = ["s02", "case=s02", f"{name}:s02", f"{name}:case=s02", f"s1:{key}:case=s02", "latest:s02"]
    assert {catalog.find(form).name for form in forms} == {f"{name}:case=s02"}
    assert len({id(catalog.find(form).known) for form in forms}) == 1  # read once
    assert (catalog.total, catalog.ids(2), catalog.listed(2)) == (3, ["s01", "s02"], "s01, s02 and 1 more")


@pytest.mark.parametrize(
    ("persona", "reason", "hint"),
    [
        ("s9", "no persona of 3 is called 's9', in .*; expected one of s01, s02, s03", ""),
        ("s022", "no persona of 3 is called 's022'", "did you mean s02"),
        ("directions/tiny/builtin:case=s99", "has no persona 's99', expected one of s01, s02, s03", ""),
        (None, "has 3 personas, expected one to be named", "s01, s02, s03"),
    ],
)
def test_who_is_not_there_is_refused(
    model: LoadedModel, master: Path, persona: str | None, reason: str, hint: str
) -> None:
    run = Run(master)
    catalog = PersonaCatalog(run, run.model(model), SteeringTarget(alpha=1))
    wanted = persona and persona.replace("directions/tiny/builtin", catalog.sources[0].name)
    with pytest.raises(InputError, match=reason) as refused:
        catalog.find(wanted)
    assert hint in (refused.value.hint or "")


def test_directions_of_one_persona_need_no_name(model: LoadedModel, master: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(master, tmp_path / "one"))
    pasctl.train_probes(personas="E+", store=store)
    pasctl.fit_directions(store=store, top_k=4)
    assert resolved(SteeringTarget(alpha=1), Run(store), model).persona == "E+"


def test_another_model_is_refused(master: Path, other_tiny_folder: Path) -> None:
    run = Run(master)
    other = run.model(str(other_tiny_folder))
    with pytest.raises(MissingError, match="holds no directions"):
        resolve(SteeringTarget(persona="s01", alpha=1), run, other)
    named = next(run.store.candidates("directions"))
    with pytest.raises(InputError, match="another model"):
        resolve(SteeringTarget(directions=named, persona="s01", alpha=1), run, other)


@pytest.mark.parametrize("alpha", ["nan", "inf", "four", float("nan")])
def test_a_strength_is_a_finite_number_or_auto(alpha: str | float) -> None:
    with pytest.raises(InputError, match="no finite number"):
        SteeringTarget(alpha=alpha)


def test_the_earlier_name_makes_the_same_target() -> None:
    assert pasctl.Steering(2.0, "latest", "E+") == SteeringTarget(alpha=2.0, directions="latest", persona="E+")
    assert SteeringTarget(alpha="2") == SteeringTarget(alpha=2.0)
    assert np.isclose(float(SteeringTarget(alpha="-1.5").alpha), -1.5)
