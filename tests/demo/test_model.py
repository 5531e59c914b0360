"""The packaged model: what it is, and that it does what its card says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pasctl
from pasctl.demo.reading import CONTEXT
from pasctl.errors import InputError
from pasctl.models.identity import resolve_model
from pasctl.models.layout import BUNDLED
from pasctl.stages.model import ModelHandle
from pasctl.store import Store
from pasctl.store.kinds import FRAMES
from tests.demo.builder.tokenizer import CHAT_TEMPLATE, train_tokenizer
from tests.demo.builder.world import inventory

ROOT = Path(__file__).parents[2]
MODEL_FOLDER = Path(pasctl.__file__).parent / "demo" / "model"
WEIGHTS_SHA256 = {
    "demo": "09a997690960461ee9fd78a65253f94761e02f690572881fa41126632b2f9fc0",
    "demo-reader": "a13b2b5059227875a6bc9f410b35f5445f0aafc22972613eaa72b1602e15d9f3",
}
WEIGHTS_AND_TOKENIZER = {"chat_template.jinja", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def demo():
    return pasctl.load_model("demo", dtype="float32")


def test_the_weights_are_the_ones_the_card_is_about():
    for name, digest in WEIGHTS_SHA256.items():
        data = (BUNDLED[name] / "model.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) <= 6_000_000


def test_the_wheel_has_what_is_read_when_it_runs_and_no_more():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    left_out = {path.name for pattern in wheel["exclude"] for path in ROOT.glob(pattern)}
    names = {path.name for path in MODEL_FOLDER.iterdir()}
    assert wheel["packages"] == ["pasctl"]
    assert left_out == {"README.md", "evaluation.json"}
    assert names - left_out == {"config.json", "generation_config.json", *WEIGHTS_AND_TOKENIZER}
    assert names - left_out == {path.name for path in BUNDLED["demo-reader"].iterdir()} - left_out
    scripts = {path.name for path in MODEL_FOLDER.parent.glob("*.py")}
    assert scripts == {"__init__.py", "reading.py", "real.py", "step.py", "walk.py"}


def test_it_is_the_model_of_its_folder_wherever_it_is_asked_for(tmp_path, monkeypatch):
    source = resolve_model("demo")
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of that name changes nothing
    assert resolve_model("demo").identity == source.identity == resolve_model(str(MODEL_FOLDER)).identity
    assert resolve_model(str(MODEL_FOLDER)).slug == source.slug == "demo"
    assert ModelHandle("demo").context() == 512
    with pytest.raises(InputError, match="no revision"):
        resolve_model("demo", revision="main")


def test_its_shape_is_the_awkward_one(demo):
    shape = demo.geometry
    assert demo.model.config.model_type == "qwen3"
    assert sum(each.numel() for each in demo.model.parameters()) <= 4_000_000
    assert shape.heads * shape.head_dim != demo.model.config.hidden_size
    assert demo.model.config.num_key_value_heads < shape.heads
    assert demo.model.config.tie_word_embeddings


def test_its_tokenizer_is_the_builders(demo):
    built = train_tokenizer(inventory())
    assert demo.tokenizer.get_vocab() == built.get_vocab()
    assert demo.tokenizer.chat_template == CHAT_TEMPLATE


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """`pasctl demo`, once: the folder it ran in and what it printed as JSON.

    Where `make demo` has just run, PASCTL_DEMO_STORE names its store, and it is taken from there.
    """
    folder = tmp_path_factory.mktemp("demo")
    if made := os.environ.get("PASCTL_DEMO_STORE"):
        shutil.copytree(made, folder / "store")
    return folder, demo_json(folder)


def demo_json(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pasctl", "demo", "--json", "--store", "store", "--output", "demo.html"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def difference(figures, condition, against):
    [found] = [row for row in figures["differences"] if (row["condition"], row["against"]) == (condition, against)]
    return found


@pytest.mark.integration
@pytest.mark.parametrize(
    ("better", "worse"),
    [("pas", "no-change"), ("pas", "random-direction"), ("pas", "shuffled-answers"), ("few-shot", "no-change")],
)
def test_effects_on_people_it_never_saw(shown, better, worse):
    """Few-shot and steering beat no change, and steering a random direction of the same length, beyond chance."""
    figures = shown[1]["figures"]
    found = difference(figures, better, worse)
    assert figures["conditions"][0]["personas"] >= 50
    assert found["composite"][2] < 0
    assert found["item_correlation"][1] > 0


@pytest.mark.integration
def test_the_card_tells_the_figures_that_are_measured(shown):
    card, figures = json.loads((MODEL_FOLDER / "evaluation.json").read_text()), shown[1]["figures"]
    assert figures["chosen"] == card["chosen"]
    for told, found in zip(card["conditions"], figures["conditions"], strict=True):
        assert found["composite"] == pytest.approx(told["composite"], abs=0.01), told["condition"]


@pytest.mark.integration
def test_the_store_gives_the_figures_as_tables(shown):
    store = Store(shown[0] / "store")
    for kind, name in (("results", "conditions"), ("results", "differences")):
        rows, frame = shown[1]["figures"][name], getattr(store.resolve(f"{kind}/demo/demo-builtin-items"), name)()
        assert frame["condition"].tolist() == [row["condition"] for row in rows]
        composites = [row["composite"] if name == "conditions" else row["composite"][0] for row in rows]
        assert frame["composite"].tolist() == composites
    assert set(store.ls()["kind"]) <= set(FRAMES)
    for artifact in store.artifacts():
        assert len(artifact.frame()), artifact.name
        assert artifact.name in artifact._repr_html_()


@pytest.mark.integration
def test_a_memory_finds_pass_keys_where_full_attention_does_not(shown):
    figures = shown[1]["figures"]
    assert figures["pass_key"]["tokens"] == 16 * 512
    assert figures["pass_key"]["answer"] == figures["pass_key"]["expected"]
    assert figures["pass_keys"]["memory"] >= 0.8
    assert figures["pass_keys"]["full"] <= 0.2


@pytest.mark.integration
def test_the_reader_looks_up_what_is_out_of_its_window(shown):
    reading = shown[1]["figures"]["reading"]
    assert reading["tokens"] == 16 * CONTEXT
    assert reading["answer"] == reading["expected"]
    memory, window = (sum(reading["right"][system].values()) for system in ("memory", "window"))
    assert memory >= window + 2.0  # of four tasks


@pytest.mark.integration
def test_a_second_demo_takes_all_from_the_store(shown):
    folder, first = shown
    again = demo_json(folder)
    assert all(stage["reused"] for stage in again["stages"])
    assert again["figures"] == first["figures"]
    page = (folder / "demo.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "random-direction" in page


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pasctl", "demo", "--store", "store", "--output", "nowhere/demo.html"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "nowhere/demo.html cannot be written" in done.stderr
    assert not (tmp_path / "store").exists()
