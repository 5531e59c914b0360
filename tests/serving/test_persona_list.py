"""The personas of a server: what is known of each, and adding and removing directions while it runs."""

from __future__ import annotations

import http.client
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import openai
import pytest
import torch
from safetensors.torch import save_file

import pasctl
from pasctl.errors import MissingError
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import find_input, open_store
from pasctl.stages.steering import DirectionSet
from tests.serving.conftest import PERSONAS, Running, running, service_of
from tests.serving.test_server import DIRECTIONS, MODEL, chat

VECTOR = "calm.safetensors"


def ask(server: Running, method: str, path: str = "", body: Any = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a request to /v1/personas."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    content = None if body is None else json.dumps(body)
    connection.request(
        method, f"/v1/personas{path}", content, {} if body is None else {"content-type": "application/json"}
    )
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


@pytest.fixture
def vectors(handle: ModelHandle, tmp_path: Path) -> Path:
    """A folder with a file of vectors of layers' outputs, and one beyond it that no request may name."""
    folder = tmp_path / "vectors"
    folder.mkdir()
    hidden = handle.geometry().hidden
    rows = torch.randn(2, hidden, generator=torch.Generator().manual_seed(0))
    save_file({f"layer_activations.{layer}": row for layer, row in enumerate(rows)}, folder / VECTOR)
    shutil.copy(folder / VECTOR, tmp_path / "secret.safetensors")
    (folder / "damaged.safetensors").write_bytes(b"no tensors")
    return folder


@contextmanager
def _adding(handle: ModelHandle, store: Path, *directions: str, **given: Any) -> Iterator[Running]:
    settings = Settings(port=0, **given)
    with service_of(handle, settings, store, *directions) as service, running(service, settings) as started:
        yield started


@pytest.fixture
def own_store(served_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(served_store, tmp_path / "artifacts"))


def test_each_persona_says_who_it_is_and_where_it_comes_from(server: Running, served_store: Path) -> None:
    status, found = ask(server, "GET")
    assert (status, found["total"], found["listed"]) == (200, PERSONAS, PERSONAS)
    artifact = find_input(open_store(served_store), "directions", DIRECTIONS)
    [source] = found["directions"]
    assert (source["name"], source["key"]) == (DIRECTIONS, artifact.key)
    assert (source["digest"], source["personas"]) == (artifact.content_digest, PERSONAS)
    assert not source["added"]
    inventory = pasctl.load_inventory("builtin")
    for row, card in enumerate(found["data"]):
        name = f"s0{row + 1}"
        assert (card["id"], card["model"], card["name"]) == (name, f"{MODEL}+{name}", f"{DIRECTIONS}:case={name}")
        assert (card["alpha"], card["positions"]) == (1.0, "all")
        # the mean keyed score of each trait, counted item by item
        answers = DirectionSet.read(artifact).personas.agreements[row]
        for code, score in card["traits"].items():
            keyed = [
                answer if item.key > 0 else inventory.scale.low + inventory.scale.high - answer
                for item, answer, place in zip(inventory.items, answers, range(len(answers)), strict=True)
                if item.trait == code and place in set(inventory.indices("fit")) and math.isfinite(answer)
            ]
            assert score == pytest.approx(sum(keyed) / len(keyed), abs=1e-4)
        assert card["traits"]
        assert ask(server, "GET", f"/{name}") == (200, card)


def test_a_persona_that_is_not_there_gets_404(server: Running) -> None:
    status, found = ask(server, "GET", "/nobody")
    assert (status, found["error"]["code"]) == (404, "persona_not_found")


def test_a_blend_is_the_sum_of_its_parts_by_request(server: Running, handle: ModelHandle, served_store: Path) -> None:
    blend = "s01 & -0.5*s02"
    status, card = ask(server, "GET", f"/{quote(blend)}")
    assert (status, card["id"], card["alpha"]) == (200, blend, 1.0)
    model = handle.load()
    parts = [
        pasctl.intervention(model, name, alpha, store=served_store).displacements
        for name, alpha in (("s01", 2.0), ("s02", -1.0))
    ]
    target = server.service._catalog.find(blend, 2.0)
    for layer, delta in target.intervention(handle.geometry()).displacements.items():
        expected = sum(part[layer].double() for part in parts if layer in part)
        assert torch.allclose(delta.double(), expected, atol=1e-6)
    with server.client() as client:
        answer = client.chat.completions.create(**chat(persona=blend, alpha=2.0))
        assert answer.model_extra["pasctl"]["persona"] == f"{DIRECTIONS}:case={blend}"
        with pytest.raises(openai.BadRequestError, match="expected personas with weights"):
            client.chat.completions.create(**chat(persona="s01 & x*s02"))


def test_directions_of_the_store_are_added_and_removed(handle: ModelHandle, own_store: Path) -> None:
    with _adding(handle, own_store) as server, server.client() as client:
        assert ask(server, "GET")[1]["total"] == 0
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**chat(model=f"{MODEL}+s02"))
        status, added = ask(server, "POST", body={"directions": "latest"})
        assert (status, added["name"], added["added"], added["personas"]) == (200, DIRECTIONS, True, PERSONAS)
        assert ask(server, "POST", body={"directions": DIRECTIONS}) == (200, added)  # once is enough
        assert ask(server, "GET")[1]["total"] == PERSONAS
        assert client.chat.completions.create(**chat(model=f"{MODEL}+s02")).choices[0].message.content
        status, refused = ask(server, "DELETE", "/s02")
        assert (status, refused["error"]["code"]) == (409, "several_personas")
        assert ask(server, "DELETE", f"/{DIRECTIONS}") == (
            200,
            {"object": "directions.removed", "name": DIRECTIONS, "removed": True},
        )
        assert ask(server, "DELETE", f"/{DIRECTIONS}")[0] == 404
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**chat(model=f"{MODEL}+s02"))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, "expected either directions or a file"),
        ({"directions": "latest", "file": VECTOR}, 400, "expected either directions or a file"),
        ({"directions": "latest", "persona": "x"}, 400, "persona goes with a file"),
        ({"directions": "directions/none/none"}, 400, "no artifact matches"),
        ({"directions": f"memory/{MODEL}/text-0"}, 400, "expected directions, found memory"),
        ({"file": VECTOR}, 403, "--add-from DIR"),
    ],
)
def test_what_cannot_be_added_is_refused(server: Running, body: dict[str, str], status: int, told: str) -> None:
    found, document = ask(server, "POST", body=body)
    assert (found, told in document["error"]["message"]) == (status, True), document


def test_what_was_served_from_the_start_stays(server: Running) -> None:
    status, document = ask(server, "DELETE", f"/{DIRECTIONS}")
    assert (status, document["error"]["code"]) == (409, "not_added")


def test_a_file_of_vectors_is_added_as_a_persona(handle: ModelHandle, own_store: Path, vectors: Path) -> None:
    serving: AbstractContextManager[Running] = _adding(handle, own_store, "latest", add_from=str(vectors))
    with serving as server, server.client() as client:
        status, added = ask(server, "POST", body={"file": VECTOR, "persona": "calm"})
        assert (status, added["stage"], added["personas"]) == (200, "import-vector", 1), added
        status, card = ask(server, "GET", "/calm")
        assert (card["alpha"], card["traits"], card["directions"]) == (1.0, {}, added["name"])
        steered = client.chat.completions.create(**chat(persona="calm", alpha=40.0)).choices[0].message.content
        assert steered != client.chat.completions.create(**chat()).choices[0].message.content
        assert ask(server, "GET")[1]["total"] == PERSONAS + 1
        assert ask(server, "DELETE", "/calm")[0] == 200
        assert ask(server, "GET", "/calm")[0] == 404
        for file in ("../secret.safetensors", str(vectors.parent / "secret.safetensors"), "none.safetensors", "."):
            status, document = ask(server, "POST", body={"file": file})
            assert (status, document["error"]["param"]) == (400, "file")
            assert "there is no file" in document["error"]["message"]
        status, document = ask(server, "POST", body={"file": "damaged.safetensors"})
        assert status == 400
        assert str(vectors) not in document["error"]["message"]


def test_a_folder_that_is_not_there_is_told_at_the_start() -> None:
    with pytest.raises(MissingError, match="--add-from none: there is no such folder"):
        Settings(add_from="none")
