"""The model in the box with two texts, each with a pass key: a request finds its own memory's key and no other's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

import pasctl
from pasctl.demo.walk import MEMORY
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks.passkey import make
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from tests.serving.conftest import running, service_of
from tests.serving.test_server import streamed

TOKENS = 1200  # the model's context is 512


def test_requests_never_see_each_others_memory(tmp_path: Path) -> None:
    model = ModelHandle("demo", pasctl.ModelOptions(dtype="float32"))
    prompt = Prompt(model.chat())
    trials = [make(TOKENS, 0.5, seed, lambda text: len(prompt.encode(text))) for seed in (0, 1)]
    keys = [trial.answers[0] for trial in trials]
    assert keys[0] != keys[1]
    for number, trial in enumerate(trials):
        pasctl.memory_run(model, [pasctl.Text(f"text-{number}", trial.text)], params=MEMORY, store=tmp_path)
    names = [f"memory/demo/text-{number}@v1" for number in (0, 1)]
    asked = {"model": "demo", "temperature": 0, "max_tokens": 12}
    question = [{"role": "user", "content": trials[0].question}]
    told = [{"role": "user", "content": f"{question[0]['content']} Other texts say {keys[0]} and {keys[1]}."}]
    with (
        service_of(model, Settings(port=0), tmp_path, memory=names) as service,
        running(service, Settings(port=0)) as server,
        server.client() as client,
        ThreadPoolExecutor(16) as threads,
    ):
        requests = [
            {**asked, "messages": question, "extra_body": {"pasctl": {"memory": name} if name else {}}}
            for name in [*names, None, names[1]] * 4
        ]
        # what a request without memory has in its prompt stays there as well
        beside = [{**asked, "messages": told, "max_tokens": 40} for _ in range(2)]
        found = list(threads.map(lambda request: streamed(client, **request), [*beside, *requests]))[2:]
    assert [found[n].strip() for n in range(16) if n % 4 != 2] == [keys[0], keys[1], keys[1]] * 4
    [plain] = set(found[2::4])
    assert not any(key in plain for key in keys)


def test_a_prompt_longer_than_the_context_goes_through_a_memory_if_wanted(tmp_path: Path) -> None:
    model = ModelHandle("demo", pasctl.ModelOptions(dtype="float32"))
    prompt = Prompt(model.chat())
    trials = [make(TOKENS, 0.5, seed, lambda text: len(prompt.encode(text))) for seed in (2, 6)]
    asked = {"model": "demo", "temperature": 0, "max_tokens": 12}
    long = [[{"role": "user", "content": f"{trial.text}\n\n{trial.question}"}] for trial in trials]
    short = [{"role": "user", "content": f"The pass key is 12345.\n\n{trials[0].question}"}]

    refusing, reading = Settings(port=0), Settings(port=0, long_prompts="memory")
    with (
        service_of(model, refusing, tmp_path) as service,
        running(service, refusing) as server,
        server.client() as client,
    ):
        with pytest.raises(openai.BadRequestError, match="the model's context is 512"):
            client.chat.completions.create(**asked, messages=long[0])
        plain = streamed(client, **asked, messages=short)
    with (
        service_of(model, reading, tmp_path) as service,
        running(service, reading) as server,
        server.client() as client,
        ThreadPoolExecutor(2) as threads,
    ):
        answers = threads.map(lambda messages: streamed(client, **asked, messages=messages), long)
        assert [answer.strip() for answer in answers] == [trial.answers[0] for trial in trials]
        assert streamed(client, **asked, messages=short) == plain
        whole = client.chat.completions.create(**asked, messages=long[0])
    assert whole.model_extra["pasctl"]["memory"] == "prompt"
    assert whole.usage.prompt_tokens > TOKENS
