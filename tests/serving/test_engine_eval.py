"""An evaluation whose answers a server gives: the rows of the model in this process, and nothing unproven."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pasctl
from pasctl.errors import InputError, PasctlError
from pasctl.evaluation.option_scoring import OptionPrompts
from pasctl.evaluation.rows import from_table
from pasctl.evaluation.units import EvalCase
from pasctl.models.options import ModelOptions
from pasctl.serving.settings import Settings
from pasctl.stages import engine_answers
from pasctl.stages.engine_client import KEY_VARIABLE, EngineClient
from pasctl.stages.evaluate import evaluate
from pasctl.stages.loaded_answers import LoadedAnswers
from pasctl.stages.model import ModelHandle
from pasctl.stages.questionnaire import EvalParams, EvaluationTask
from pasctl.stages.runner import Artifact, open_store
from tests.serving.conftest import Running, Start, running, service_of

MODES = "no-change,personality-prompt,pas,random-direction"
NUMBERS = ["expected", "option_mass", "dlp"]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> ModelHandle:
    """The served model, loaded once more: a server's thread steers its own."""
    return ModelHandle(str(tiny_folder), ModelOptions(dtype="float32"))


@pytest.fixture
def store(served_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(served_store, tmp_path / "artifacts"))


def results(model: ModelHandle, store: Path, url: str | None, **options: Any) -> Artifact:
    engine = {} if url is None else {"engine": "vllm", "engine_url": url}
    given = {"modes": MODES, "alpha": "2", "neutral_text": "none", "reading": "letters,statements"}
    made = evaluate(model=model, store=store, **{**given, **engine, **options}).artifact
    assert made is not None
    return made


def assert_same_rows(there: Artifact, here: Artifact) -> None:
    found, expected = (from_table(each.read_table("rows.parquet")) for each in (there, here))
    names = ["persona", "condition", "setting", "alpha", "draw", "reading", "item"]
    assert found[names].equals(expected[names])
    for name in NUMBERS:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    for name, values in here.read_arrays("answers.safetensors").items():
        np.testing.assert_allclose(there.read_arrays("answers.safetensors")[name], values, atol=1e-4)


@pytest.mark.parametrize(("positions", "modes"), [("all", MODES), ("answer", "no-change,pas,random-direction")])
def test_rows_are_those_of_the_model_here(
    server: Running, model: ModelHandle, store: Path, positions: str, modes: str
) -> None:
    how = {"positions": positions, "modes": modes, "shard": "1/2", "control_draws": 2}
    here, there = results(model, store, None, **how), results(model, store, server.url, **how)
    assert there.key != here.key
    assert_same_rows(there, here)
    answers = [each.read_arrays("answers.safetensors")["level_logprobs"] for each in (there, here)]
    assert np.abs(np.subtract(*answers)).max() > 0, "they were computed in another way"
    controls = 2 * 2  # people and draws, of letters
    assert there.provenance["counts"]["units_reused"] == controls, "the model here computes them, and has already"
    notes = there.read_json("metrics.json")["notes"]
    assert any("answered by vllm; computed by transformers here: random-direction" in note for note in notes)
    off = there.provenance["engine"]["off"]
    assert set(off) == {"", *from_table(here.read_table("rows.parquet"))["persona"].unique()}
    assert max(off.values()) < 1e-4
    assert results(model, store, server.url, **how).key == there.key


def test_an_interrupted_evaluation_goes_on(
    server: Running, model: ModelHandle, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pasctl.stages.unit_answers._ENGINE_UNITS", 2)
    answer, asked = engine_answers.EngineAnswers.options, []

    def dying(self: Any, prompts: Any, units: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(units))
        return answer(self, prompts, units)

    with monkeypatch.context() as patched:
        patched.setattr(engine_answers.EngineAnswers, "options", dying)
        with pytest.raises(KeyboardInterrupt):
            results(model, store, server.url, modes="no-change,pas", reading="letters")
    resumed = results(model, store, server.url, modes="no-change,pas", reading="letters")
    assert asked == [2, 2]
    assert resumed.provenance["counts"]["units_reused"] == 4
    assert_same_rows(resumed, results(model, store, None, modes="no-change,pas", reading="letters"))


def test_names_of_several_tokens_are_scored_as_here(server: Running, model: ModelHandle, store: Path) -> None:
    loaded = model.load()
    source = open_store(store).resolve("latest", "directions")
    params = EvalParams(("no-change", "pas"), (2.0,), "answer")
    task = EvaluationTask(source, params, model.identity, model.numerics(0), engine="vllm")
    here = LoadedAnswers(loaded, task, 512)
    there = engine_answers.EngineAnswers(EngineClient(server.url), task, here)
    prompts = [loaded.chat.encode(text) for text in task.questions[:3]]
    names = [(41,), (41, 42), (43, 44, 45), (46,)]
    asked = OptionPrompts(prompts, names, np.tile(np.arange(4), (3, 1)))
    units = [EvalCase(0, "no-change", "", 0.0, 0, None), *(EvalCase(row, "pas", "2", 2.0, 0, None) for row in (0, 2))]
    expected = here.options(asked, units).logprobs
    np.testing.assert_allclose(there.options(asked, units).logprobs, expected, atol=1e-4)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2


def test_another_model_is_refused(other_tiny_folder: Path, model: ModelHandle, store: Path, tmp_path: Path) -> None:
    settings, other = Settings(port=0), ModelHandle(str(other_tiny_folder), ModelOptions(dtype="float32"))
    expected = r"without a persona differs from the model here by .*it serves another model"
    with (
        service_of(other, settings, tmp_path / "none") as service,
        running(service, settings) as server,
        pytest.raises(PasctlError, match=expected),
    ):
        results(model, store, server.url, modes="no-change")


def test_other_directions_of_the_same_names_are_refused(model: ModelHandle, store: Path, server: Running) -> None:
    pasctl.fit_directions(store=store, recipe="paper", top_k=3)
    with pytest.raises(PasctlError, match=r"for persona s01 at alpha 2 differs from the steered model") as caught:
        results(model, store, server.url, modes="pas", reading="letters")
    assert "--engine vllm-personas" in str(caught.value.hint)


def test_a_server_without_the_persona_says_so(model: ModelHandle, store: Path, serve: Start) -> None:
    pasctl.train_probes(personas="builtin:5-6", store=store)
    pasctl.fit_directions(store=store)
    with (
        serve() as server,
        pytest.raises(PasctlError, match=r"refused with status 400: no persona of 4 is called 's06'"),
    ):
        results(model, store, server.url, modes="pas", reading="letters")


def test_a_key_is_sent(model: ModelHandle, store: Path, serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"modes": "no-change", "reading": "statements"}
    with serve(api_key="a-secret-of-some-length") as server:
        with pytest.raises(PasctlError, match="refused with status 401") as caught:
            results(model, store, server.url, **how)
        assert KEY_VARIABLE in str(caught.value.hint)
        monkeypatch.setenv(KEY_VARIABLE, "a-secret-of-some-length")
        assert results(model, store, server.url, **how).key


def test_what_cannot_be_asked_is_refused(model: ModelHandle, store: Path) -> None:
    with pytest.raises(InputError, match="--engine-url is for --engine vllm"):
        evaluate(model=model, store=store, engine_url="http://127.0.0.1:1/v1")
    with pytest.raises(InputError, match="engine URL 'localhost' is no URL"):
        results(model, store, "localhost")
    with pytest.raises(PasctlError, match=r"engine http://127.0.0.1:9/v1 does not answer") as caught:
        results(model, store, "http://127.0.0.1:9/v1")
    assert "--engine-url" in str(caught.value.hint)
