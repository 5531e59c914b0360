"""What every stage says it found, against what its files hold; and what a run prints of it, where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pasctl.cli.output import outcome_json, print_outcome
from pasctl.evaluation.verdicts import verdicts
from pasctl.probes.permutation import permuted_accuracy
from pasctl.stages import findings
from pasctl.stages.choose_alpha import choose_alpha
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.findings import finding, next_command
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.fit_items import read_fit_items
from pasctl.stages.job import Outcome
from pasctl.stages.probe_level import FILE, FOLDS, MOST_PERSONAS
from pasctl.stages.runner import Artifact, open_store
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.stages.train_probes import train_probes
from tests.tiny import HEADS, LAYERS, tiny_loaded

pytestmark = pytest.mark.integration
PEOPLE = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """An outcome of every kind, and activations of a contrast."""
    store, model = tmp_path_factory.mktemp("findings"), tiny_loaded()
    outcomes = {
        "activations": extract(model, store=store),
        "probes": train_probes(personas=f"builtin:0-{PEOPLE}", store=store, permutations=6),
        "directions": fit_directions(store=store, recipe="paper", top_k=5),
    }
    directions = outcomes["directions"].artifact
    outcomes["strengths"] = choose_alpha(directions=directions, model=model, alphas="0,4", folds=2, store=store)
    modes = "no-change,pas,random-direction"
    outcomes["results"] = evaluate(
        directions=directions, model=model, alpha=4, modes=modes, reading="letters", store=store
    )
    outcomes["contrast"] = extract(model, contrast="calm|angry", store=store)
    return outcomes


def artifact(made: dict[str, Outcome], kind: str) -> Artifact:
    found = made[kind].artifact
    assert found is not None
    return found


def test_every_stage_says_what_it_found(made: dict[str, Outcome]) -> None:
    told = {kind: finding(artifact(made, kind)) for kind in made}
    assert told["activations"] == f"30 items read at 4 answers each, {LAYERS} layers of {HEADS} heads"
    assert told["contrast"].endswith(f"pairs of texts read on 1 axes, {LAYERS} layers of {HEADS} heads")
    assert told["directions"].startswith("5 heads in layer")
    assert told["directions"].endswith(f"for each of {PEOPLE} personas")
    curves = artifact(made, "strengths").read_json("curves.json")
    place = curves["alphas"].index(curves["chosen"]["population"])
    assert f"for all: mean error {np.mean(curves['mae'][place]):.2f}, " in told["strengths"]
    [verdict] = verdicts(artifact(made, "results").read_json("metrics.json"))
    assert told["results"].split("\n") == list(verdict.sentences)
    assert len(verdict.sentences) == 3


def test_probes_hold_their_permutation_level(made: dict[str, Outcome]) -> None:
    probes, activations = artifact(made, "probes"), artifact(made, "activations")
    level = probes.read_json(FILE)
    assert (level["permutations"], level["folds"], level["personas"]) == (6, FOLDS, PEOPLE)
    assert level["top_k"] == level["heads"] == LAYERS * HEADS
    assert np.shape(level["accuracy"]) == np.shape(level["level"]) == (LAYERS, HEADS)
    assert level["top"]["accuracy"] == pytest.approx(np.mean(level["accuracy"]))  # all heads are the best ones
    assert level["top"]["level"] == pytest.approx(np.mean(level["level"]))
    assert 1 / 7 <= level["top"]["p"] <= 1
    assert level["best"]["accuracy"] >= level["top"]["accuracy"]
    assert f"{LAYERS * HEADS} heads: " in finding(probes)
    assert ("not above chance" in finding(probes)) == bool(findings.warnings(probes))
    items = read_fit_items(activations)
    answers = StoredPersonas.of(probes).rows(None).agreements[:, items.columns]
    folds = np.arange(len(items.columns)) % FOLDS
    signs = np.nan_to_num(np.sign(answers - 3)).astype(np.int8)
    other = permuted_accuracy(items.head_outputs, items.pairs, signs, folds, permutations=0, seed=0)
    # other folds of the same items: near, not equal
    assert np.mean(other.accuracy) == pytest.approx(level["top"]["accuracy"], abs=0.1)


def test_the_usual_permutations_are_in_no_key_and_none_leave_no_file(made: dict[str, Outcome]) -> None:
    store = open_store(Path(artifact(made, "activations").path).parents[3])
    usual = train_probes(personas="builtin:0-2", store=store)
    without = train_probes(personas="builtin:0-2", store=store, permutations=0)
    assert usual.artifact is not None
    assert without.artifact is not None
    assert "permutations" not in usual.artifact.params
    assert without.artifact.params["permutations"] == 0
    assert usual.artifact.files(FILE)
    assert not without.artifact.files(FILE)
    assert "not compared with shuffled answers" in finding(without.artifact)
    assert findings.warnings(without.artifact) == ()


def test_of_many_personas_some_stand_for_all(monkeypatch: pytest.MonkeyPatch, made: dict[str, Outcome]) -> None:
    monkeypatch.setattr("pasctl.stages.probe_level.MOST_PERSONAS", 2)
    store = open_store(Path(artifact(made, "activations").path).parents[3])
    probes = train_probes(personas="builtin:0-5", store=store).artifact
    assert probes is not None
    assert probes.read_json(FILE)["personas"] == 2 < MOST_PERSONAS


def test_findings_are_data_and_warnings_go_to_stderr(
    made: dict[str, Outcome], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "warnings", lambda artifact: ("doubtful",))
    print_outcome(made["directions"], as_json=False)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1] == finding(artifact(made, "directions"))
    assert shown.err == "warning: doubtful\n"
    print_outcome(made["results"], as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["finding"] == finding(artifact(made, "results"))
    assert document["warnings"] == ["doubtful"]
    assert "metrics" in document
    assert "finding" not in outcome_json(Outcome("eval", "s1:0", None, False, 0.0, {}))


def test_directions_of_a_contrast_come_without_probes(made: dict[str, Outcome]) -> None:
    assert next_command("pasctl train-probes", artifact(made, "activations")) == "pasctl train-probes"
    assert next_command("pasctl train-probes", artifact(made, "contrast")) == "pasctl fit-directions"
