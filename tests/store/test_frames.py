"""Artifacts as tables and in notebooks: a frame says what the files say, and nothing that is shown is taken as HTML."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import pasctl
from pasctl.errors import IntegrityError
from pasctl.stages.job import Outcome
from pasctl.store import Artifact, Store, make_key
from pasctl.store.kinds import FRAMES, load
from pasctl.store.refs import KINDS
from tests.store.worker import commit, document

Make = Callable[..., Artifact]


@pytest.fixture
def make(store: Store) -> Make:
    """Commits files as an artifact of a kind."""

    def made(kind: str, files: dict[str, Any], **how: Any) -> Artifact:
        seed = len(store.keys())
        staging = store.stage(make_key(document(seed)))
        for name, content in files.items():
            ending = name.rpartition(".")[2]
            write = {"json": "write_json", "parquet": "write_table", "safetensors": "write_tensors"}[ending]
            getattr(staging, write)(name, content)
        return commit(staging, document(seed), kind=kind, model="tiny", label="made", **how)

    return made


@pytest.mark.parametrize("kind", FRAMES)
def test_every_way_to_an_artifact_gives_the_class_of_its_kind(store: Store, make: Make, kind: str) -> None:
    assert kind in KINDS
    made = make(kind, {"x.json": 1})
    found = [
        made,
        store.resolve(kind),
        store.lookup(made.key),
        *store.artifacts(),
        *store.candidates(kind),
        store.tag(made, "mine"),
    ]
    own = load(FRAMES[kind])
    assert {type(each) for each in found} == {own}
    assert {hash(each) for each in found} == {hash(made)}
    assert all(each == made for each in found)
    assert own.frame is not Artifact.frame


def test_a_kind_without_frames_of_its_own_shows_its_files(make: Make) -> None:
    made = make("export", {"x.json": 1, "y.json": [2, 3]})
    assert type(made) is Artifact
    assert made.frame()["name"].tolist() == made.files()
    assert made.frame()["size"].sum() == made.size


def test_the_list_of_artifacts_is_a_table_newest_first(store: Store, make: Make) -> None:
    assert store.ls().empty
    first, second = make("probes", {"x.json": 1}), make("results", {"x.json": 2})
    table = store.ls()
    assert table["name"].tolist() == [second.name, first.name]
    for name in ("key", "kind", "stage", "size", "created_at"):
        assert table[name].tolist() == [getattr(each, name) for each in (second, first)]
    assert list(store.ls("probes")["key"]) == [first.key]
    assert list(store.ls()) == list(store.ls("export"))


def test_listing_does_not_wait_for_pandas(store: Store, make: Make) -> None:
    make("results", {"x.json": 1})
    code = (
        f"import sys, pasctl; store = pasctl.Store({str(store.root)!r}); store.artifacts(); store.resolve('results'); "
        "print([name for name in ('pandas', 'matplotlib', 'scipy', 'sklearn', 'torch') if name in sys.modules])"
    )
    root = Path(pasctl.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_notebook_shows_is_escaped(make: Make) -> None:
    evil = "<script>alert('x')</script>"
    made = make("answers", {"answers.json": [{"question": evil, "answer": f"a & {evil}", "tokens": 3}]})
    shown = made._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 2
    assert made.name in shown
    assert made.short_key in shown
    outcome = Outcome(evil, made.key, made, False, 1.0, {evil: evil}, {"plan": evil})
    shown = outcome._repr_html_()
    assert "<script" not in shown
    assert made.name in shown
    planned = Outcome("eval", made.key, None, False, 0.0, {}, {"tokens": 1234})._repr_html_()
    assert "1234" in planned
    assert "not there yet" in planned


def test_a_long_and_wide_frame_is_cut_and_says_so(make: Make) -> None:
    rows = [{f"column{n}": row for n in range(40)} for row in range(500)]
    shown = make("answers", {"answers.json": rows})._repr_html_()
    assert "500 rows, 40 columns" in shown
    assert shown.count("<tr") < 30


def test_a_damaged_file_is_told_in_place_of_the_frame(make: Make) -> None:
    made = make("answers", {"answers.json": [{"question": "?"}]})
    (made.path / "answers.json").write_text("[]")
    with pytest.raises(IntegrityError):
        made.frame()
    assert "is damaged" in made._repr_html_()


def people(cut: bool) -> dict[str, Any]:
    """The files of three personas, in one file or in shards."""
    if not cut:
        return {"personas.json": {"ids": ["a", "b", "c"]}}
    shards = {"0000000-0000002": ["a", "b"], "0000002-0000003": ["c"]}
    tables = {f"personas/{rows}.parquet": pa.table({"persona": ids}) for rows, ids in shards.items()}
    return {"personas.json": {"count": 3}, **tables}


def shards(name: str, tensors: dict[str, np.ndarray], cut: bool) -> dict[str, Any]:
    if not cut:
        return {f"{name}.safetensors": tensors}
    spans = {"0000000-0000002": slice(0, 2), "0000002-0000003": slice(2, 3)}
    return {
        f"{name}/{rows}.safetensors": {key: value[span] for key, value in tensors.items()}
        for rows, span in spans.items()
    }


@pytest.mark.parametrize("cut", [False, True])
def test_probes_have_a_row_per_persona_layer_and_head(make: Make, cut: bool) -> None:
    rng = np.random.default_rng(0)
    accuracy, loss = rng.random((3, 2, 4)).astype(np.float32), rng.random((3, 2, 4)).astype(np.float32)
    scores = {
        "accuracy": accuracy,
        "log_loss": loss,
        "n_train": np.array([5, 6, 7]),
        "n_validation": np.array([2, 3, 4]),
    }
    heads = make("probes", people(cut) | shards("scores", scores, cut)).frame()
    assert len(heads) == 24
    for row in heads.itertuples():
        person = "abc".index(row.persona)
        assert row.accuracy == accuracy[person, row.layer, row.head]
        assert row.log_loss == loss[person, row.layer, row.head]
        assert (row.n_train, row.n_validation) == (5 + person, 2 + person)


@pytest.mark.parametrize("cut", [False, True])
def test_directions_have_a_row_per_persona_and_head(make: Make, cut: bool) -> None:
    heads = np.arange(12, dtype=np.int64).reshape(3, 2, 2)
    sigma = np.random.default_rng(1).random((3, 2)).astype(np.float32)
    tensors = {"heads": heads, "sigma": sigma, "theta": np.zeros((3, 2, 8), np.float32)}
    described = {"items.json": {"geometry": {"layers": 12, "heads": 12}}}
    made = make("directions", people(cut) | shards("directions", tensors, cut) | described)
    for row in made.frame().itertuples():
        person = "abc".index(row.persona)
        assert [row.layer, row.head] == heads[person, row.rank].tolist()
        assert row.sigma == sigma[person, row.rank]
    assert len(made.frame()) == 6
    assert made.trials().empty
    tried = [{"layers": [1], "heads": None, "alpha": 4.0, "mae": 0.5, "item_correlation": None}]
    chosen = make("directions", {**people(cut), "selection.json": {"tried": tried}}).trials()
    assert chosen.loc[0, "layers"] == [1]
    assert chosen.loc[0, "mae"] == 0.5


@pytest.mark.parametrize("version", [4, 5])
def test_events_follow_each_other_through_a_memory(make: Make, version: int) -> None:
    """Until version 4 each segment had all starts."""
    surprise = np.random.default_rng(2).random(20).astype(np.float32)
    none = np.array([], np.int64)
    made = make(
        "memory",
        {
            "segments/000000.safetensors": {
                "ids": np.arange(12),
                "counts": np.array([0, 12, 0, 0]),
                "surprise": surprise[:12],
                **({"starts": np.array([4, 9])} if version == 4 else {"new_starts": np.array([4])}),
                "pending": none,
            },
            "segments/000001.safetensors": {
                "ids": np.arange(8),
                "counts": np.array([12, 20, 0, 0]),
                "surprise": surprise[12:],
                **({"starts": np.array([4, 9])} if version == 4 else {"new_starts": np.array([9])}),
                "pending": np.array([15, 20]),  # the last one begins behind the text
            },
        },
    )
    events = made.events()
    assert events["token"].tolist() == [4, 9, 15]
    assert events["tokens"].tolist() == [5, 6, 5]
    assert events["surprise"].tolist() == surprise[[4, 9, 15]].tolist()


def test_trials_have_what_each_gave_and_cost(make: Make) -> None:
    results = {
        "k1": {"task": "passkey", "system": "memory", "right": True, "expected": ["1"]},
        "k2": {"stretches": [{"start": 0, "stop": 9, "nll": 1.5}, {"start": 9, "stop": 18, "nll": 1.25}]},
    }
    costs = {"k1": {"seconds": 2.0}, "k2": {"seconds": 3.0}}
    trials = make("trials", {"trials.json": results}, provenance={"costs": costs}).trials()
    assert trials["seconds"].tolist() == [2.0, 3.0, 3.0]
    assert trials["nll"].tolist()[1:] == [1.5, 1.25]
    assert make("trials", {"trials.json": results}).trials().shape[0] == 3


def test_answers_and_what_was_retrieved_for_them(make: Make) -> None:
    answers = [{"question": "who?", "answer": "me", "tokens": 1, "stop": "end", "first_step": 1}]
    recall = pa.table({"question": [0, 0], "step": [0, 1], "layer": [0, 0], "event": [3, 4], "score": [1.0, 0.5]})
    made = make("answers", {"answers.json": answers, "recall.parquet": recall})
    assert made.answers().to_dict("records") == answers
    pd.testing.assert_frame_equal(made.retrieved(), recall.to_pandas())
