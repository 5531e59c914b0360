"""Two descriptions of a user's own, from one command to a chat, a server and an export that is proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import pasctl
from pasctl.commands.serve import Serve
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.store import Store
from tests.tiny import save_tiny

pytestmark = pytest.mark.integration

OWN = "speaks like a cautious lawyer|speaks like a reckless salesman"
ALPHA, PROMPT = 40.0, "I worry about things."


@pytest.fixture(scope="module")
def handle(tmp_path_factory: pytest.TempPathFactory) -> ModelHandle:
    folder = save_tiny(tmp_path_factory.mktemp("model") / "tiny")
    return ModelHandle(str(folder), pasctl.ModelOptions(dtype="float32"))


@pytest.fixture(scope="module")
def store(handle: ModelHandle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("own") / "store"
    pasctl.extract(handle, contrast=OWN, store=place)
    pasctl.fit_directions(model=handle, store=place)
    return place


def test_python_server_and_export_write_the_same(handle: ModelHandle, store: Path, tmp_path: Path) -> None:
    model = handle.load()
    moved = pasctl.intervention(handle, "+", alpha=ALPHA, store=store)
    ids = model.tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    how = SamplingParams(max_new_tokens=6)
    steered, plain = (
        generate(model, [Request(ids, how, each)], batch_tokens=4096)[0].written for each in (moved, None)
    )
    assert steered != plain

    target = SteeringTarget(persona="+", alpha=ALPHA)
    declared = Serve(model=handle, directions=("latest",), steering=target, settings=Settings())
    with open_service(declared, Run(store)) as service:
        body = {"model": f"{handle.slug}++", "prompt": PROMPT, "temperature": 0, "max_tokens": 6}
        assert service.completion(json.dumps(body).encode()).choices[0].stream.text() == steered

    exported = pasctl.export_model("latest", tmp_path / "out", steering=target, store=store)
    assert exported.outcome.artifact is not None  # which an export gets once its proof holds
    again = ModelHandle(str(tmp_path / "out"), pasctl.ModelOptions(dtype="float32")).load()
    assert generate(again, [Request(ids, how)], batch_tokens=4096)[0].written == steered


def test_the_strength_is_bounded_by_side_effects_where_no_answers_are_known(handle: ModelHandle, store: Path) -> None:
    made = pasctl.choose_alpha(model=handle, store=store).artifact
    curves = made.read_json("curves.json")
    kl = torch.tensor(curves["kl"]).mean(dim=1)
    place = curves["alphas"].index(curves["chosen"])
    assert kl[place] <= curves["budget_kl"]
    assert all(other > curves["budget_kl"] or other <= kl[place] for other in kl.tolist())
    target = pasctl.intervention(handle, "-", store=store)  # auto takes it
    assert target.displacements


def test_both_directions_and_their_activations_are_in_the_store(handle: ModelHandle, store: Path) -> None:
    kinds = Store(store).ls()["kind"].tolist()
    assert {"activations", "directions"} <= set(kinds)
    with pytest.raises(InputError, match="no persona of 2 is called 'E\\+'"):
        pasctl.intervention(handle, "E+", alpha=1, store=store)
