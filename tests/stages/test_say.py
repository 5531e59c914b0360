"""`say`: texts are those of plain generation, measures those of the functions, and the artifact is as its key says."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pasctl
from pasctl.contrasts import EVERYDAY_PROMPTS, JUDGES, TUNING_PROMPTS, WORDINGS, describe
from pasctl.errors import InputError, MissingError
from pasctl.evaluation.embeddings import find_embedder
from pasctl.evaluation.side_effects import measure, repetition
from pasctl.evaluation.text_metrics import AS_IS, COLUMNS, DOWN, PROMPTED, UP, budget_notes
from pasctl.evaluation.texts import Reader, WrittenText, log_odds, perplexities
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.load import LoadedModel
from pasctl.stages import text_writing
from pasctl.stages.neutral import Neutral
from pasctl.stages.report import report
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.say import say
from pasctl.stages.steering import DirectionSet
from pasctl.stages.text_directions import persona_names
from pasctl.stages.text_words import words_by
from tests.evaluation.text_judges import endpoint, save_encoder
from tests.tiny import tiny_loaded

OWN = "speaks like a cautious lawyer|speaks like a reckless salesman"
PROMPT, TOKENS = "Tell me about your weekend.", 6
MANY = [f"What do you do on day {place}?" for place in range(9)]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def store(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With directions of the traits' poles."""
    store = tmp_path_factory.mktemp("say")
    pasctl.extract(model, contrast="big5", store=store)
    pasctl.fit_directions(store=store)
    return store


def said(model: LoadedModel, store: Path, **options: Any) -> Artifact:
    options = {"alpha": 2.0, "max_new_tokens": TOKENS, "judge_embeddings": "none", **options}
    made: Artifact = say(model, store=store, **options).artifact
    return made


@pytest.fixture(scope="module")
def two(model: LoadedModel, store: Path) -> Artifact:
    """A pole and a combination at two strengths, on nine prompts."""
    return said(model, store, prompt=MANY, persona="E+,E+ & 0.5*N-", alpha=[1.0, 3.0])


@pytest.fixture(scope="module")
def texts(two: Artifact) -> pd.DataFrame:
    return two.frame()  # type: ignore[attr-defined,no-any-return]


def of(frame: pd.DataFrame, target: str, condition: str, alpha: float = 0.0) -> pd.DataFrame:
    return frame[(frame["target"] == target) & (frame["condition"] == condition) & (frame["alpha"] == alpha)]


def written(model: LoadedModel, prompts: list[str], system: str | None, intervention: Any) -> list[Any]:
    """Texts that are written one at a time."""
    how = SamplingParams(max_new_tokens=TOKENS)
    return [
        generate(model, [Request(model.chat.encode(prompt, system), how, intervention, strip=True)])[0]
        for prompt in prompts
    ]


def test_texts_are_those_of_plain_generation(model: LoadedModel, store: Path, texts: pd.DataFrame) -> None:
    [directions] = Store(store).artifacts("directions")
    known = DirectionSet.read(directions)
    row = {name: place for place, name in enumerate(known.personas.ids)}
    parts = [
        (weight, DirectionSet.read(directions, np.array([row[name]]))) for weight, name in ((1, "E+"), (0.5, "N-"))
    ]
    both = DirectionSet.combined("both", parts)
    expected = {
        ("E+", AS_IS, 0.0): (None, None),
        ("E+", UP, 1.0): (None, known.intervention(model.geometry, row["E+"], 1.0)),
        ("E+", UP, 3.0): (None, known.intervention(model.geometry, row["E+"], 3.0)),
        ("E+", DOWN, 3.0): (None, known.intervention(model.geometry, row["E-"], 3.0)),
        ("E+", PROMPTED, 0.0): (describe(WORDINGS["E"][0][0]), None),
        ("E+ & 0.5*N-", AS_IS, 0.0): (None, None),
        ("E+ & 0.5*N-", DOWN, 1.0): (None, both.intervention(model.geometry, 0, -1.0)),
        ("E+ & 0.5*N-", PROMPTED, 0.0): (f"{describe(WORDINGS['E'][0][0])} {describe(WORDINGS['N'][0][1])}", None),
    }
    for (target, condition, alpha), (system, intervention) in expected.items():
        streams = written(model, MANY, system, intervention)
        mine = of(texts, target, condition, alpha)
        assert mine["prompt"].tolist() == MANY
        assert mine["text"].tolist() == [stream.written for stream in streams]
        assert mine["tokens"].tolist() == [len(stream.tokens) for stream in streams]
    assert len(texts) == 2 * 9 * 6  # as it is, up and down at two strengths, prompted
    assert list(texts) == list(COLUMNS)


def test_measures_are_those_of_the_functions(model: LoadedModel, store: Path, texts: pd.DataFrame) -> None:
    mine = of(texts, "E+", UP, 3.0)
    [directions] = Store(store).artifacts("directions")
    known = DirectionSet.read(directions)
    steered = known.intervention(model.geometry, known.personas.ids.index("E+"), 3.0)
    ids = [tuple(stream.tokens) for stream in written(model, MANY, None, steered)]
    replies = [WrittenText(prompt, tokens) for prompt, tokens in zip(MANY, ids, strict=True)]
    judges = [(describe(plus), describe(minus)) for plus, minus in JUDGES["E"]]
    assert mine["log_odds"].to_numpy() == pytest.approx(log_odds(Reader(model), replies, judges), abs=1e-4)
    assert mine["perplexity"].to_numpy() == pytest.approx(perplexities(Reader(model), replies), rel=1e-3)
    repeated = [repetition(tokens) for tokens in ids]
    assert mine["repetition"].tolist() == pytest.approx([np.nan if r is None else r for r in repeated], nan_ok=True)
    assert mine["p_plus"].between(0, 1).all()
    assert mine["embedding_score"].isna().all()
    assert mine["judge"].isna().all()


def test_side_effects_are_those_of_either_direction(model: LoadedModel, store: Path, two: Artifact) -> None:
    [directions] = Store(store).artifacts("directions")
    known, text = DirectionSet.read(directions), Neutral.read("builtin").unsteered(model)
    place = known.personas.ids.index("E+")
    row = two.read_json("metrics.json")["rows"][1]
    for name, alpha in ((UP, 3.0), (DOWN, -3.0)):
        steered = known.intervention(model.geometry, place, alpha)
        assert row["kl"][name] == pytest.approx(measure(model, text, [steered], batch_tokens=4096).kl[0], abs=1e-5)


def test_a_strength_beyond_the_budget_is_warned_of(model: LoadedModel, store: Path, two: Artifact) -> None:
    rows = [{"target": "E+", "alpha": 4.0, "kl": {UP: 0.4, DOWN: 0.6}}, {"target": "E+", "alpha": 2.0, "kl": None}]
    assert ["at alpha 4 changes neutral text by 0.60" in note for note in budget_notes(rows)] == [True]
    metrics = two.read_json("metrics.json")
    over = [row for row in metrics["rows"] if max(row["kl"].values()) > 0.5]
    assert len([note for note in metrics["notes"] if "the budget" in note]) == len(over)


def test_findings_are_a_row_per_persona_and_strength(two: Artifact) -> None:
    findings = two.findings()  # type: ignore[attr-defined]
    assert findings[["target", "opposite", "alpha"]].to_numpy().tolist() == [
        ["E+", "E-", 1.0],
        ["E+", "E-", 3.0],
        ["E+ & 0.5*N-", "opposite of E+ & 0.5*N-", 1.0],
        ["E+ & 0.5*N-", "opposite of E+ & 0.5*N-", 3.0],
    ]
    assert findings["auc"].between(0, 1).all()
    assert (findings["auc_lo"] <= findings["auc"]).all()
    assert (findings["perplexity_ratio_steered-up_lo"] <= findings["perplexity_ratio_steered-up"]).all()
    assert findings["verdict"].str.contains("AUC").all()
    metrics = two.read_json("metrics.json")
    assert metrics["words"]["E+"] == [describe(side) for side in WORDINGS["E"][0]]
    texts_of_a_side = -(-20 // len(TUNING_PROMPTS)) * len(TUNING_PROMPTS)
    assert metrics["calibration"]["E+"]["log_odds"]["texts"] == 2 * texts_of_a_side


def test_an_interrupted_run_goes_on_and_comes_to_the_same(
    model: LoadedModel, store: Path, two: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    shutil.rmtree(copy / "objects" / "texts")
    Store(copy).reindex()
    runs: list[int] = []

    def counted(model: LoadedModel, requests: Any, **how: Any) -> Any:
        runs.append(len(requests))
        if len(runs) == 5:
            raise KeyboardInterrupt
        return generate(model, requests, **how)

    monkeypatch.setattr("pasctl.generation.loop.generate", counted)
    options = {"prompt": MANY, "persona": "E+,E+ & 0.5*N-", "alpha": [1.0, 3.0]}
    with pytest.raises(KeyboardInterrupt):
        said(model, copy, **options)
    before = len(runs)
    again = said(model, copy, **options)
    cases = 11  # of nine prompts: as it is, and of both personas up and down twice, and prompted
    tuning = 2 * 2 * -(-20 // len(TUNING_PROMPTS))
    assert len(runs) - before == cases - 4 + tuning
    assert again.content_digest == two.content_digest


def test_calibrations_are_taken_from_earlier_texts(
    model: LoadedModel, store: Path, two: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[int] = []

    def counted(model: LoadedModel, requests: Any, **how: Any) -> Any:
        prompts.append(len(requests))
        return generate(model, requests, **how)

    monkeypatch.setattr("pasctl.generation.loop.generate", counted)
    other = said(model, store, prompt=[*MANY, PROMPT], persona="E+")
    assert prompts == [10] * 4
    assert other.read_json("metrics.json")["calibration"]["E+"] == two.read_json("metrics.json")["calibration"]["E+"]


def test_the_same_again_is_taken_from_the_store_and_other_options_are_not(
    model: LoadedModel, store: Path, tmp_path: Path
) -> None:
    first = said(model, store, prompt=[PROMPT], persona="E+")
    file = tmp_path / "prompts.txt"
    file.write_text(f"\n{PROMPT}\n\n")
    assert say(model, prompts=str(file), persona="E+", alpha=2.0, max_new_tokens=TOKENS, store=store).reused
    others = [
        {"persona": "E-"},
        {"alpha": 1.0},
        {"max_new_tokens": TOKENS + 1},
        {"temperature": 1.0},
        {"positions": "answer"},
    ]
    for change in others:
        assert said(model, store, **({"prompt": [PROMPT], "persona": "E+"} | change)).key != first.key


def test_few_prompts_are_measured_and_not_classified(model: LoadedModel, store: Path) -> None:
    made = said(model, store, prompt=[PROMPT], persona="N+")
    frame, [finding] = made.frame(), made.read_json("metrics.json")["rows"]  # type: ignore[attr-defined]
    assert frame["p_plus"].isna().all()
    assert frame["log_odds"].notna().any()
    assert "no verdict on 1 prompt, it needs" in finding["verdict"]


def test_a_single_prompts_texts_come_as_they_are_written(model: LoadedModel, store: Path) -> None:
    pieces: dict[str, list[str]] = {}
    options = {"prompt": PROMPT, "persona": "E+", "alpha": 1.5}
    live = said(model, store, **options, on_delta=lambda title, delta: pieces.setdefault(title, []).append(delta))
    assert list(pieces) == ["as it is", "E+ at alpha 1.5", "E+ at alpha -1.5", "prompted: E+"]
    frame = live.frame()  # type: ignore[attr-defined]
    assert ["".join(deltas) for deltas in pieces.values()] == frame["text"].tolist()


def test_a_model_whose_texts_cannot_share_a_pass_shows_them_when_they_are_there(
    model: LoadedModel, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **how: Any) -> Any:
        raise InputError("none is shared")

    monkeypatch.setattr("pasctl.generation.engine.Engine", refuse)
    shown: list[tuple[str, str]] = []
    made = said(model, store, prompt=PROMPT, persona="E+", alpha=1.25, on_delta=lambda *each: shown.append(each))
    frame = made.frame()  # type: ignore[attr-defined]
    assert [text for _, text in shown] == frame["text"].tolist()


def test_embeddings_and_a_judge_classify_as_well(model: LoadedModel, store: Path, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path)
    with endpoint(JUDGES["E"][0][0]) as server:  # + always fits
        made = said(model, store, prompt=MANY, persona="E+", judge=server.url, judge_embeddings=str(folder))
        asked = len(server.seen)
        again = said(model, store, prompt=MANY, persona="E+", judge=server.url, judge_embeddings=str(folder))
        assert len(server.seen) == asked
    assert again.key == made.key
    frame, metrics = made.frame(), made.read_json("metrics.json")  # type: ignore[attr-defined]
    assert asked == 2 * len(frame) == 2 * 4 * len(MANY)
    assert (frame["judge"] == 1).all()
    assert frame["embedding_score"].notna().all()
    [row] = metrics["rows"]
    assert row["judge_auc"][0] == 0.5
    steered = frame[frame["condition"].isin([UP, DOWN])]
    assert row["agreement"] == pytest.approx((steered["p_plus"] > 0.5).mean())
    assert (metrics["judge"], metrics["embeddings"]) == ("local-judge", folder.name)
    assert metrics["calibration"]["E+"]["embedding_auc"] is not None
    # similarities to the descriptions, one by one
    embedder = find_embedder(str(folder))
    assert embedder is not None
    words = [[describe(side) for side in pair] for pair in (*WORDINGS["E"], *JUDGES["E"])]
    plus, minus = (embedder.embed([pair[side] for pair in words]) for side in (0, 1))
    texts = embedder.embed(frame["text"].tolist())
    expected = [np.mean([text @ one for one in plus]) - np.mean([text @ one for one in minus]) for text in texts]
    assert frame["embedding_score"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_a_strength_that_is_given_and_chosen_is_written_once(model: LoadedModel, store: Path) -> None:
    made = said(model, store, prompt=[PROMPT], persona="E+", alpha=[1.0, "1.0"])
    assert len(made.read_table("texts.parquet")) == 4


def test_two_descriptions_are_fitted_and_stay_in_the_store(model: LoadedModel, tmp_path: Path) -> None:
    made = said(model, tmp_path, contrast=OWN, prompt=["Should I buy this house?"])
    opened = Store(tmp_path)
    assert {each.kind for each in opened.artifacts()} == {"activations", "directions", "texts"}
    metrics = made.read_json("metrics.json")
    assert metrics["words"] == {"+": [describe(side) for side in OWN.split("|")]}
    again = say(
        model, contrast=OWN, prompt=["Should I buy this house?"], alpha=2.0, max_new_tokens=TOKENS, store=opened
    )
    assert again.reused


def test_poles_are_fitted_where_there_are_no_directions(model: LoadedModel, tmp_path: Path) -> None:
    dry = say(model, persona="E+", prompt=[PROMPT], store=tmp_path, dry_run=True)
    assert (dry.stage, dry.artifact) == ("extract", None)
    assert said(model, tmp_path, persona="E+", prompt=[PROMPT]).inputs["directions"].name.startswith("directions/")
    with pytest.raises(MissingError, match=r"no directions of .* that have 172481"):
        said(model, tmp_path, persona="172481", prompt=[PROMPT])


def test_everyday_prompts_and_every_trait_are_the_default(model: LoadedModel, store: Path) -> None:
    dry = say(model, alpha=1.0, store=store, dry_run=True)
    assert dry.plan["texts"] == len(EVERYDAY_PROMPTS) * (1 + 5 * 3)


def test_a_respondent_has_no_words_and_is_not_classified(model: LoadedModel, tmp_path: Path) -> None:
    pasctl.extract(model, store=tmp_path)
    pasctl.train_probes(personas="builtin:0-2", store=tmp_path)
    pasctl.fit_directions(store=tmp_path, top_k=4)
    made = said(model, tmp_path, persona="s01", prompt=MANY)
    frame, [finding] = made.frame(), made.read_json("metrics.json")["rows"]  # type: ignore[attr-defined]
    assert set(frame["condition"]) == {AS_IS, UP, DOWN}
    assert "no descriptions to judge them by" in finding["verdict"]


def test_words_of_poles_and_combinations() -> None:
    words = words_by(None)
    plus, minus, mixed = words("E+"), words("E-"), words("E+ & -0.5*N+")
    assert plus is not None
    assert minus is not None
    assert mixed is not None
    assert minus.judges == tuple(pair[::-1] for pair in plus.judges)
    calm = words("N-")
    assert calm is not None
    assert mixed.judges[0][0] == f"{plus.judges[0][0]} {calm.judges[0][0]}"
    assert not {text for pair in plus.judges for text in pair} & {text for pair in plus.prompts for text in pair}
    assert words("172481") is None
    assert words("+") is None


def test_plain_words_name_poles(model: LoadedModel, store: Path) -> None:
    assert persona_names("extraverted, kind,E+,172481") == ["E+", "A+", "172481"]
    assert persona_names("Outgoing & 0.5*calm") == ["E+ & 0.5*N-"]
    by_word = said(model, store, prompt=[PROMPT], persona="extraverted")
    assert by_word.key == said(model, store, prompt=[PROMPT], persona="E+").key


def test_a_page_begins_with_the_texts(two: Artifact, texts: pd.DataFrame, store: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    report(two, target, store=store)
    page = target.read_text()
    assert page.index("Before and after: E+ at alpha 1") < page.index("What tells the texts apart")
    assert "E+ and E- texts" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": [PROMPT], "prompts": "file"}, "on the command line and as a file"),
        ({"prompt": [" "]}, "a prompt is empty"),
        ({"contrast": OWN, "directions": "latest"}, "expected no --directions"),
        ({"alpha": "much"}, "no number"),
        ({"alpha": "oracle"}, "texts have none"),
        ({"judge": "nowhere"}, "is no URL"),
    ],
)
def test_what_makes_no_sense_is_refused(model: LoadedModel, store: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        said(model, store, **options)


def test_a_file_of_prompts_must_have_some(model: LoadedModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot be read"):
        said(model, store, prompts=str(tmp_path / "none"))
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(InputError, match="has no prompt"):
        said(model, store, prompts=str(tmp_path / "empty"))


def test_cases_are_values() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        text_writing.TextCase(AS_IS, ()).setting = 1  # type: ignore[misc]


def test_a_shared_run_loads_the_model_once(model: LoadedModel, tmp_path: Path) -> None:
    run = Run(tmp_path)
    made = say(model, persona="E+", prompt=[PROMPT], alpha=1.0, max_new_tokens=2, run=run).artifact
    assert made is not None
    assert run.model(model).is_loaded
