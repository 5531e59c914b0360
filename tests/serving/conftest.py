"""A store with personas and memories of the tiny model, and servers on 127.0.0.1 in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

import pasctl
from pasctl.commands.serve import Serve
from pasctl.commands.shared import ModelLike
from pasctl.commands.target import Alpha, SteeringTarget
from pasctl.memory.params import MemoryParams
from pasctl.serving.app import make_app
from pasctl.serving.connections import http_config
from pasctl.serving.server import listening, open_service
from pasctl.serving.service import Service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.memory.test_exactness import SMALL

PERSONAS = 4
TEXTS = [
    "".join(f"I worry about things {n}. Vivid imagination, {n * 7 % 13} answers. " for n in range(12)),
    "".join(f"The life of the party, option {n}. System {n * 5 % 11} gets stressed out easily. " for n in range(12)),
]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients talk to 127.0.0.1 and to nobody else."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def handle(tiny_folder: Path) -> ModelHandle:
    """The tiny model, loaded once."""
    return ModelHandle(str(tiny_folder), pasctl.ModelOptions(dtype="float32"))


@pytest.fixture(scope="session")
def served_store(handle: ModelHandle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directions of four respondents and two memories; nobody writes to it."""
    store = tmp_path_factory.mktemp("served") / "artifacts"
    pasctl.extract(handle, store=store)
    pasctl.train_probes(personas=f"builtin:0-{PERSONAS}", store=store)
    pasctl.fit_directions(store=store)
    params = MemoryParams(**SMALL | {"n_local": 96, "n_mem": 48})
    for number, text in enumerate(TEXTS):
        pasctl.memory_run(handle, [pasctl.Text(f"text-{number}", text)], params=params, store=store)
    return store


@dataclass(frozen=True)
class Running:
    """A server and what it answers with."""

    url: str
    service: Service

    def client(self, **options: Any) -> openai.OpenAI:
        """OpenAI's own client."""
        return openai.OpenAI(**{"base_url": self.url, "api_key": "none", "max_retries": 0, "timeout": 60, **options})


Start = Callable[..., AbstractContextManager[Running]]


def service_of(
    model: ModelLike,
    settings: Settings,
    store: Path,
    *directions: str,
    memory: Sequence[str] = (),
    alpha: Alpha = 1.0,
) -> AbstractContextManager[Service]:
    """What answers requests for a model, with a strength where they name none."""
    served = Serve(
        model=model, settings=settings, directions=directions, memory=memory, steering=SteeringTarget(alpha=alpha)
    )
    return open_service(served, Run(store))


@contextmanager
def running(service: Service, settings: Settings) -> Iterator[Running]:
    """A server in a thread while the block runs."""
    with listening(settings) as listener:
        server = uvicorn.Server(http_config(make_app(service, settings), settings))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", service)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def serve(handle: ModelHandle, served_store: Path) -> Start:
    """Starts a server with settings of one's own."""

    @contextmanager
    def start(**given: Any) -> Iterator[Running]:
        settings = Settings(**{"port": 0, "max_new_tokens": 6000, **given})
        with (
            service_of(handle, settings, served_store, "latest") as service,
            running(service, settings) as started,
        ):
            yield started

    return start


@pytest.fixture(scope="module")
def server(serve: Start) -> Iterator[Running]:
    """A server with room for all."""
    with serve() as started:
        yield started
