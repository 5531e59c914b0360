"""A prompt that begins as one before is read from where it differs, and answered alike; usage and metrics tell it."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pasctl.commands.serve import Serve
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.generation.test_prefix_cache import tokens_run
from tests.serving.conftest import Running, Start, running
from tests.serving.test_likelihoods import completion, ids_of
from tests.serving.test_server import PEOPLE, chat

WORDS = "I worry about things and get stressed out easily. I have a vivid imagination and am the life of the party. "
LONG = WORDS * 8


def metrics(server: Running) -> dict[str, int]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    named = (line.rsplit(" ", 1) for line in lines if line.startswith(("pasctl_prefix", "pasctl_prompt")))
    return {name.removeprefix("pasctl_"): int(value) for name, value in named}


def test_the_same_prompt_three_times(serve: Start, handle: ModelHandle) -> None:
    request = completion(LONG, max_tokens=5)
    size = len(ids_of(handle, LONG))
    with serve(prefix_cache="0") as server, server.client() as client:
        expected = [client.completions.create(**request) for _ in range(2)]
        assert {each.usage.prompt_tokens_details.cached_tokens for each in expected} == {0}
        assert metrics(server) == {
            "prompt_tokens_read_total": 2 * size,
            "prompt_tokens_reused_total": 0,
            **dict.fromkeys(("prefix_cache_entries", "prefix_cache_bytes", "prefix_cache_limit_bytes"), 0),
        }
    with serve(prefix_cache="64MiB") as server, server.client() as client, tokens_run(handle.load()) as passes:
        found = [client.completions.create(**request) for _ in range(2)]
        chunks = list(client.completions.create(**request, stream=True, stream_options={"include_usage": True}))
        told = metrics(server)
    assert {each.choices[0].text for each in found} == {expected[0].choices[0].text}
    usages = [each.usage for each in (*found, chunks[-1])]
    assert [each.prompt_tokens for each in usages] == [size] * 3
    assert [each.prompt_tokens_details.cached_tokens for each in usages] == [0, size - 1, size - 1]
    # the prompt once, its last token twice more, and the answers but for their last tokens
    assert sum(passes) == size + 2 * 1 + 3 * 4
    assert (told["prompt_tokens_read_total"], told["prompt_tokens_reused_total"]) == (size + 2, 2 * (size - 1))
    assert told["prefix_cache_limit_bytes"] == 64 << 20
    assert 0 < told["prefix_cache_bytes"] < told["prefix_cache_limit_bytes"]
    assert told["prefix_cache_entries"] >= size // 128


def test_a_conversation_reads_its_new_turn(serve: Start, handle: ModelHandle) -> None:
    def turns(client: Any) -> list[tuple[str, int, int]]:
        messages, told = [{"role": "user", "content": LONG}], []
        for words in ("And now?", "Is that all?", ""):
            answer = client.chat.completions.create(**chat(max_tokens=12) | {"messages": messages})
            said, usage = answer.choices[0].message.content, answer.usage
            told.append((said, usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens))
            messages += [{"role": "assistant", "content": said}, {"role": "user", "content": words}]
        return told

    with serve(prefix_cache="0") as server, server.client() as client:
        expected = turns(client)
    with serve() as server, server.client() as client:
        found = turns(client)
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    sizes, reused = [each[1] for each in found], [each[2] for each in found]
    # this template writes an empty thought before the answer, and leaves it out in later turns
    thought = len(handle.load().chat.encode_words("<think>\n\n</think>\n\n"))
    assert reused == [0, *(size - thought for size in sizes[:2])]


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_personas_are_not_taken_for_each_other(handle: ModelHandle, served_store: Path, positions: Any) -> None:
    people: list[dict[str, Any]] = [
        {},
        {"persona": PEOPLE[0]},
        {"persona": PEOPLE[1]},
        {"persona": PEOPLE[0], "alpha": 4},
    ]
    requests = [chat(max_tokens=10, **who) for who in people]
    for request in requests:
        request["messages"] = [{"role": "user", "content": LONG}]

    def answers(client: Any) -> list[tuple[str, int]]:
        made = [client.chat.completions.create(**request) for request in requests * 2]
        return [(each.choices[0].message.content, each.usage.prompt_tokens_details.cached_tokens) for each in made]

    def served(size: str) -> list[tuple[str, int]]:
        settings, steering = Settings(port=0, prefix_cache=size), SteeringTarget(alpha=1.0, positions=positions)
        declared = Serve(model=handle, settings=settings, directions=("latest",), steering=steering)
        with (
            open_service(declared, Run(served_store)) as service,
            running(service, settings) as server,
            server.client() as client,
        ):
            return answers(client)

    expected, found = [text for text, _ in served("0")], served("64MiB")
    assert [text for text, _ in found] == expected
    assert len(set(expected)) > 2
    first, again = [count for _, count in found[:4]], [count for _, count in found[4:]]
    assert min(again) > 100
    assert first[0] == 0
    assert [count > 100 for count in first[1:]] == [positions == "answer"] * 3


def test_a_prompt_of_several_texts_is_read_once(serve: Start, handle: ModelHandle) -> None:
    request = completion(LONG, max_tokens=3, n=4, temperature=1.2, seed=3)
    size = len(ids_of(handle, LONG))
    with serve(prefix_cache="0") as server, server.client() as client:
        expected = client.completions.create(**request)
    with serve() as server, server.client() as client:
        found = client.completions.create(**request)
        told = metrics(server)
        assert [choice.text for choice in found.choices] == [choice.text for choice in expected.choices]
        # the request's own prompt counts once, and none of it was there
        assert (found.usage.prompt_tokens, found.usage.prompt_tokens_details.cached_tokens) == (size, 0)
        assert told["prompt_tokens_read_total"] == size + 3
        echoed = client.completions.create(**completion(LONG, max_tokens=0, echo=True, logprobs=1))
        assert echoed.usage.prompt_tokens_details.cached_tokens == 0
        assert len(echoed.choices[0].logprobs.token_logprobs) == size


def test_a_size_is_told_in_words() -> None:
    sizes = {"0": 0, "00 GB": 0, "5000": 5000, "2MB": 2_000_000, "1.5 GiB": 3 << 29}
    assert {text: Settings(prefix_cache=text).prefix_bytes for text in sizes} == sizes
    assert Settings().prefix_bytes == 1 << 30
    for wrong in ("", "much", "-1", "1 TB", "nan"):
        with pytest.raises(InputError, match=r"prefix-cache is .*, expected a size"):
            Settings(prefix_cache=wrong)
