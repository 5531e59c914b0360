"""Statements as a reading: the numbers are those of plain steered passes, calibrated on other persons' fit items."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

import pasctl
from pasctl.contrasts.questions import SELF_REPORT_PROMPTS
from pasctl.errors import InputError
from pasctl.evaluation.personal import likeness
from pasctl.evaluation.rows import Rows, from_table
from pasctl.evaluation.statements import statement_totals
from pasctl.inventory import builtin_inventory, load_personas
from pasctl.inventory.first_person import first_person
from pasctl.models.load import LoadedModel
from pasctl.stages import statement_answers
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.runner import Artifact
from pasctl.stages.train_probes import train_probes
from pasctl.steering import steer
from tests.tiny import tiny_loaded

PEOPLE, REPORT, FIT = 5, 30, 24


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def fitted(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("fitted")
    extract(model, store=store)
    train_probes(personas=f"builtin:0-{PEOPLE}", store=store)
    fit_directions(store=store, top_k=6)
    return store


@pytest.fixture
def store(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "store"))


def results(model: LoadedModel, store: Path, modes: str = "no-change,pas", **options: Any) -> Artifact:
    given = {"neutral_text": "none", "reading": "statements", "alpha": "8", **options}
    artifact = evaluate(model=model, modes=modes, store=store, **given).artifact
    assert artifact is not None
    return artifact


@pytest.fixture(scope="module")
def full(model: LoadedModel, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    store = Path(shutil.copytree(fitted, tmp_path_factory.mktemp("full") / "store"))
    modes = "no-change,personality-prompt,pas,random-direction,shuffled-answers"
    return results(model, store, modes, control_draws=2, control_people=3)


def rows_of(artifact: Artifact) -> Rows:
    return from_table(artifact.read_table("rows.parquet"))


def table_of(artifact: Artifact) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["reading"], row["condition"]): row for row in artifact.read_json("metrics.json")["conditions"]}


def naive(model: LoadedModel, prompt: str, text: str, moved: Any, system: str | None = None) -> float:
    """Log-probability of the text as the reply to the prompt, from one pass over both."""
    before = model.chat.encode(prompt, system)
    said = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with steer(model, moved), torch.inference_mode():
        logits = model.model(torch.tensor([[*before, *said]]), use_cache=False).logits[0].double()
    logprobs = torch.log_softmax(logits, dim=-1)
    return sum(float(logprobs[len(before) - 1 + place, token]) for place, token in enumerate(said))


def test_dlp_is_what_steering_does_to_a_statement(model: LoadedModel, store: Path) -> None:
    rows, inventory = rows_of(results(model, store, self_reports=3)), builtin_inventory()
    for persona, column in [("s01", 3), ("s05", 21)]:
        item = inventory.items[inventory.indices("report")[column]]
        moved = pasctl.intervention(model, persona, 8, store=store)
        said = first_person(item.text)
        prompts = SELF_REPORT_PROMPTS[:3]
        after, before = ([naive(model, prompt, said, by) for prompt in prompts] for by in (moved, None))
        mine = (rows["persona"] == persona) & (rows["item"] == item.id) & (rows["reading"] == "statements")
        [steered] = rows[mine & (rows["condition"] == "pas")].to_dict("records")
        [plain] = rows[mine & (rows["condition"] == "no-change")].to_dict("records")
        dlp = np.subtract(after, before)
        assert steered["dlp"] == pytest.approx(dlp.mean(), abs=1e-3)
        assert steered["dlp_spread"] == pytest.approx(dlp.std(ddof=1), abs=1e-3)
        assert steered["logprob"] == pytest.approx(np.mean(after), abs=1e-3)
        assert plain["logprob"] == pytest.approx(np.mean(before), abs=1e-3)
        assert plain["dlp"] == plain["dlp_spread"] == 0
        assert (
            steered["agreement"]
            == load_personas(f"builtin:0-{PEOPLE}", inventory).agreements[
                int(persona[1:]) - 1, inventory.indices("report")[column]
            ]
        )
        assert np.isnan([steered["option_mass"], steered["logprob_1"], steered["order_spread"]]).all()


def test_expected_agreements_are_learned_on_the_other_persons_fit_items(full: Artifact) -> None:
    inventory, told = builtin_inventory(), full.read_json("units.json")["statements"]
    assert told["items"][:REPORT] == [inventory.items[column].id for column in inventory.indices("report")]
    fit = [inventory.position[name] for name in told["items"][REPORT:]]
    assert len(fit) == told["fit_items"] == FIT
    assert set(fit) <= set(inventory.indices("fit").tolist())
    parts = statement_totals(full.read_arrays("answers.safetensors")["statement_logprobs"])
    lengths = np.isfinite(full.read_arrays("answers.safetensors")["statement_logprobs"][0, 0]).sum(-1)
    rows = rows_of(full)
    pas = rows[rows["condition"] == "pas"]
    # a persona's part is the one whose dlp its rows have
    moved, per_token = (parts - parts[0]).mean(axis=1), parts[0].mean(axis=0) / lengths
    dlp = pas["dlp"].to_numpy().reshape(PEOPLE, REPORT)
    mine = [int(np.abs(moved[:, :REPORT] - values).sum(axis=1).argmin()) for values in dlp]
    keys = inventory.keys[[inventory.position[name] for name in told["items"]]]
    table = np.stack([np.broadcast_arrays(keys, moved[part], per_token) for part in mine]).transpose(0, 2, 1)
    answers = load_personas(f"builtin:0-{PEOPLE}", inventory).agreements[:, fit]
    expected = pas["expected"].to_numpy().reshape(PEOPLE, REPORT)
    for person in range(PEOPLE):
        others = [other for other in range(PEOPLE) if other != person]
        learned = LinearRegression().fit(table[others, REPORT:].reshape(-1, 3), answers[others].ravel())
        predicted = np.clip(learned.predict(table[person, :REPORT]), 1, 5)
        np.testing.assert_allclose(expected[person], predicted, atol=1e-6)


def test_prompts_and_controls_are_measured_on_a_sample_and_differences_on_the_persons_of_both(full: Artifact) -> None:
    table, rows = table_of(full), rows_of(full)
    counts = {condition: row["personas"] for (_, condition), row in table.items()}
    assert counts["no-change"] == counts["pas"] == counts["ridge" if "ridge" in counts else "constant-3"] == PEOPLE
    sampled = {"personality-prompt", "random-direction", "shuffled-answers"}
    assert {counts[name] for name in sampled} == {3}
    assert len({tuple(sorted(rows["persona"][rows["condition"] == name].unique())) for name in sampled}) == 1
    assert any("3 of the 5 personas" in note for note in full.read_json("metrics.json")["notes"])
    differences = full.read_json("metrics.json")["differences"]
    [found] = [d for d in differences if (d["condition"], d["against"]) == ("pas", "random-direction")]
    errors = (
        (rows["expected"] - rows["agreement"])
        .abs()
        .groupby([rows["condition"], rows["draw"], rows["persona"], rows["trait"]])
        .mean()
        .groupby(["condition", "draw", "persona"])
        .sum()
        .groupby(["condition", "persona"])
        .mean()
    )
    expected = (errors["pas"] - errors["random-direction"]).dropna()
    assert len(expected) == 3
    assert found["composite"][0] == pytest.approx(expected.mean())


def test_personal_metrics_are_of_dlp(full: Artifact) -> None:
    rows = rows_of(full)
    pas = rows[rows["condition"] == "pas"]
    dlp, answers = (pas[name].to_numpy().reshape(PEOPLE, REPORT) for name in ("dlp", "agreement"))
    found = table_of(full)["statements", "pas"]
    assert found["distinctive_r"] == pytest.approx(likeness(dlp, answers).own.mean())
    assert found["own_place_chance"] == 3
    plain = table_of(full)["statements", "no-change"]
    assert plain["distinctive_r"] is plain["own_place"] is None
    assert plain["mae"]["E"] is not None


def test_both_readings_stand_in_one_table_and_each_against_its_own_reference(model: LoadedModel, store: Path) -> None:
    both = results(model, store, reading="statements,letters")
    table = table_of(both)
    assert [key for key in table if key[0]] == [
        ("statements", "no-change"),
        ("statements", "pas"),
        ("letters", "no-change"),
        ("letters", "pas"),
    ]
    letters, statements = (table_of(results(model, store, reading=name)) for name in ("letters", "statements"))
    assert table == letters | statements | {key: row for key, row in table.items() if not key[0]}
    pairs = {(d["reading"], d["condition"], d["against"]) for d in both.read_json("metrics.json")["differences"]}
    assert pairs == {
        (reading, condition, against)
        for reading in ("letters", "statements")
        for condition, against in (("no-change", "constant-3"), ("pas", "no-change"), ("pas", "constant-3"))
    }


def test_parts_are_reused_and_an_interrupted_run_comes_to_the_same_bits(
    model: LoadedModel, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = Path(shutil.copytree(store, tmp_path / "untouched"))
    whole = results(model, untouched)
    score, asked = statement_answers.StatementTask._score, []

    def dying(self: Any, *args: Any) -> Any:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(1)
        return score(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(statement_answers.StatementTask, "_score", dying)
        with pytest.raises(KeyboardInterrupt):
            results(model, store)
    resumed = results(model, store)
    assert resumed.provenance["counts"]["units_reused"] == 3
    assert resumed.content_digest == whole.content_digest
    more = results(model, store, "no-change,pas", alpha="8,16")
    assert more.provenance["counts"]["units_reused"] == 1 + PEOPLE
    assert more.read_tensors("answers.safetensors")["statement_logprobs"].shape[:3] == (1 + 2 * PEOPLE, 1, REPORT + FIT)


def test_a_dry_run_counts_the_tokens_that_are_run(model: LoadedModel, store: Path) -> None:
    asked: dict[str, Any] = {"modes": "no-change,few-shot,pas", "alpha": "8", "neutral_text": "none", "model": model}
    asked |= {"reading": "statements,letters", "store": store}
    planned = evaluate(**asked, dry_run=True).plan
    made = evaluate(**asked).artifact
    assert made is not None
    counts = made.provenance["counts"]
    # prompts are put to the first reading alone
    assert planned["units_to_run"] == (1 + 2 * PEOPLE) + (1 + PEOPLE)
    assert planned["tokens_run"] == pytest.approx(counts["tokens_run"], rel=0.02)
    assert planned["units"] == counts["units"] == 3 * PEOPLE + 2 * PEOPLE


def test_auto_takes_statements_where_letters_have_no_mass_and_asks_once(
    model: LoadedModel, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = results(model, store, reading="auto")
    check = first.provenance["reading_check"]
    assert first.params["readings"] == [check["reading"]] == ["statements"]
    assert check["option_mass"] < 0.5
    assert "probability" in check["reason"]
    monkeypatch.setattr("pasctl.stages.reading_choice.try_letters", lambda *args: pytest.fail("tried again"))
    assert results(model, store, reading="auto").key == first.key == results(model, store).key


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"reading": "text"}, "text"),
        ({"reading": "tea-leaves"}, "tea-leaves"),
        ({"reading": ""}, "nothing"),
        ({"audit": 3}, "letters are not read"),
        ({"self_reports": 9}, "self-reports"),
    ],
)
def test_what_cannot_be_read_is_refused(model: LoadedModel, store: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        results(model, store, **options)


def test_one_person_is_calibrated_alone_and_told_so(model: LoadedModel, fitted: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(fitted, tmp_path / "store"))
    made = results(model, store, shard="1/5")
    notes = made.read_json("metrics.json")["notes"]
    assert any("calibrated on its own fit items" in note for note in notes)
    assert table_of(made)["statements", "pas"]["composite"] is not None
