"""Who a request may name, and what is told when it may not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.commands.target import Alpha, SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.memory.params import MemoryParams
from pasctl.serving import settings
from pasctl.serving.api_error import APIError
from pasctl.serving.memories import Memories
from pasctl.serving.server import listening
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.run import Run
from pasctl.stages.runner import open_store
from tests.memory.test_exactness import SMALL
from tests.serving.conftest import TEXTS, service_of

DIRECTIONS = "directions/tiny-a/builtin@v1"


def personas(handle: ModelHandle, store: Path, *directions: str, alpha: Alpha = "auto") -> PersonaCatalog:
    return PersonaCatalog(Run(store), handle, SteeringTarget(alpha=alpha), directions=directions)


def test_a_request_reaches_the_persona_that_python_steers_to(handle: ModelHandle, served_store: Path) -> None:
    known = personas(handle, served_store, "latest", alpha=3.0)
    target = known.find("s02")
    assert (target.name, target.alpha, target.positions) == (f"{DIRECTIONS}:case=s02", 3.0, "all")
    other = known.find("s02", 1.5)
    assert other.known is target.known  # read once
    geometry = handle.geometry()
    expected = pasctl.intervention(handle.load(), "s02", 1.5, store=served_store)
    assert other.intervention(geometry).displacements.keys() == expected.displacements.keys()
    for layer, rows in expected.displacements.items():
        assert rows.equal(other.intervention(geometry).displacements[layer])
        assert not rows.equal(target.intervention(geometry).displacements[layer])


@pytest.mark.parametrize(
    ("persona", "told"),
    [
        ("s99", f"no persona of 4 is called 's99', in {DIRECTIONS}"),
        (f"{DIRECTIONS}:case=s99", "has no persona 's99'"),
        (DIRECTIONS, f"has 4 personas, expected one to be named as {DIRECTIONS}:case=ID"),
        ("memory/tiny-a/text-0@v1:case=s01", "expected directions, found memory"),
    ],
)
def test_who_is_not_there_is_refused(handle: ModelHandle, served_store: Path, persona: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        personas(handle, served_store, "latest").find(persona)


def test_without_directions_served_a_reference_finds_them(handle: ModelHandle, served_store: Path) -> None:
    known = personas(handle, served_store)
    assert (known.total, known.ids(5)) == (0, [])
    assert known.find("latest:case=s01", 1).name == f"{DIRECTIONS}:case=s01"
    with pytest.raises(MissingError, match="no artifact matches 's01'"):
        known.find("s01", 1)


def test_what_another_model_made_is_refused(other_tiny_folder: Path, served_store: Path) -> None:
    other, store = ModelHandle(str(other_tiny_folder), pasctl.ModelOptions(dtype="float32")), open_store(served_store)
    with pytest.raises(InputError, match="made with another model"):
        personas(other, served_store).find(f"{DIRECTIONS}:case=s01", 1)
    with pytest.raises(InputError, match="made with another model"):
        Memories(store, other, []).find("memory/tiny-a/text-0")
    for kind in (personas(other, served_store).find, lambda ref, _: Memories(store, other, [ref])):
        with pytest.raises(MissingError, match="holds no"):
            kind("latest", 1)


def test_a_memory_is_opened_once_and_only_in_its_dtype(handle: ModelHandle, served_store: Path) -> None:
    known = Memories(open_store(served_store), handle, [])
    first = known.find("memory/tiny-a/text-0")
    assert known.find("memory/tiny-a/text-0@v1").memory is first.memory
    assert first.memory.model is handle.load()
    assert known.find("latest").name == "memory/tiny-a/text-1@v1"
    with pytest.raises(MissingError, match="memory/tiny-a/none"):
        known.find("memory/tiny-a/none")


def test_the_strength_is_the_one_that_was_chosen(handle: ModelHandle, served_store: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(served_store, tmp_path / "artifacts"))
    (tmp_path / "text").write_text("The life of the party.")
    made = pasctl.choose_alpha(
        model=handle, alphas="0,3,9", folds=2, neutral_text=str(tmp_path / "text"), store=store
    ).artifact
    assert made is not None
    chosen = made.read_json("curves.json")["chosen"]["persona"]
    known = personas(handle, store, "latest")
    assert [known.find(person).alpha for person in known.ids(4)] == chosen
    assert known.find("s01", 5).alpha == 5
    assert personas(handle, store, "latest", alpha=2.0).find("s01").alpha == 2.0


def test_a_memory_that_was_read_steered_answers_as_it_was_read(
    handle: ModelHandle, served_store: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(served_store, tmp_path / "artifacts"))
    steering, params = pasctl.Steering(3.0, persona="s03"), MemoryParams(**SMALL | {"n_local": 96, "n_mem": 48})
    pasctl.memory_run(handle, [pasctl.Text("steered", TEXTS[0])], params=params, steering=steering, store=store)
    body: dict[str, Any] = {"model": "tiny-a", "temperature": 0, "max_tokens": 9}
    body |= {"messages": [{"role": "user", "content": "Who?"}], "pasctl": {"memory": "latest"}}
    with service_of(handle, Settings(), store, "latest") as service:
        answering = service.chat(json.dumps(body).encode())
        found = answering.choices[0].stream.text().strip()
        assert found == pasctl.open_memory("latest", handle, store=store).ask("Who?", max_new_tokens=9)
        assert (answering.reply.note["persona"], answering.reply.note["alpha"]) == ("s03", 3.0)
        with pytest.raises(APIError, match="was read steered") as refused:
            service.chat(json.dumps({**body, "model": "tiny-a+s01"}).encode())
    assert refused.value.status == 400


def test_an_address_that_is_taken_is_told_in_a_line() -> None:
    with listening(Settings(port=0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(pasctl.PasctlError, match=rf"cannot listen on 127.0.0.1 port {port}: .*in use"):
            listening(Settings(port=port)).__enter__()
    with listening(Settings(port=port)):
        pass


def test_without_its_packages_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.require_packages()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="fastapi and uvicorn and pydantic") as refused:
        settings.require_packages()
    assert refused.value.hint == "pip install 'pasctl[serve]'"
