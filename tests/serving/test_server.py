"""The server as OpenAI's client and others see it, on a real socket."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import torch

import pasctl
from pasctl.models.conversation import Conversation
from pasctl.stages.model import ModelHandle
from pasctl.steering import steer
from tests.serving.conftest import Running, Start

MODEL = "tiny-a"
PEOPLE = ["s01", "s02", "s03", "s04"]
MEMORIES = [f"memory/{MODEL}/text-{n}@v1" for n in (0, 1)]
DIRECTIONS = f"directions/{MODEL}/builtin@v1"
WORDS = "What worries you?"


def chat(words: str = WORDS, **more: Any) -> dict[str, Any]:
    extras = {name: more.pop(name, None) for name in ("persona", "alpha", "memory")}
    extras = {name: value for name, value in extras.items() if value is not None}
    request = {"model": MODEL, "messages": [{"role": "user", "content": words}], "temperature": 0, "max_tokens": 12}
    return {**request, **({"extra_body": {"pasctl": extras}} if extras else {}), **more}


def streamed(client: openai.OpenAI, **request: Any) -> str:
    """The text of a streamed answer."""
    chunks = client.chat.completions.create(**request, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def raw(server: Running, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of a request."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), json.loads(answer.read())
    connection.close()
    return found


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def alone(handle: ModelHandle, store: Path, words: str, persona: str | None, alpha: float, memory: str | None) -> str:
    """What the library gives for one request, without an engine."""
    model = handle.load()
    told = None if persona is None else pasctl.intervention(model, persona, alpha, store=store)
    if memory is not None:
        opened = pasctl.open_memory(memory, handle, store=store)
        opened.intervention = told
        return opened.ask(words, max_new_tokens=12)
    conversation = Conversation(model.chat)
    ids = torch.tensor([[*conversation.opening(), *conversation.question(words)]])
    with steer(model, told), torch.inference_mode():
        made = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    return str(model.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)).strip()


def test_sixteen_streams_give_what_each_request_gives_alone(
    server: Running, handle: ModelHandle, served_store: Path
) -> None:
    cases = [
        (f"{WORDS} {n}", PEOPLE[n % 4] if n < 12 else None, 4.0 + n % 2, [None, *MEMORIES][n % 3]) for n in range(16)
    ]
    expected = [alone(handle, served_store, *case) for case in cases]
    assert len(set(expected)) > 12
    before = server.service.engine.counts().passes
    requests = [chat(words, persona=who, alpha=who and alpha, memory=memory) for words, who, alpha, memory in cases]
    with server.client() as client, ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda request: streamed(client, **request).strip(), requests))
        assert found == expected
        together = server.service.engine.counts().passes - before
        # they did share passes
        assert together < 16 * 12 / 3
        one = client.chat.completions.create(**requests[5])
    assert (one.choices[0].message.content or "").strip() == expected[5]
    assert one.model_extra is not None
    note = dict(one.model_extra["pasctl"])
    assert {each["file"] for each in note.pop("sources")} == {"text-1"}  # see test_sources.py
    assert note.pop("sentences")
    assert note == {"persona": f"{DIRECTIONS}:case={PEOPLE[1]}", "alpha": 5.0, "memory": MEMORIES[1]}


def test_a_persona_goes_by_several_names(server: Running) -> None:
    plain, same = chat(), f"{DIRECTIONS}:case=s02"
    names = [
        {**plain, "model": f"{MODEL}+s02"},
        {**plain, "model": f"{MODEL}+{same}"},
        chat(persona="s02"),
        chat(persona="case=s02"),
        chat(persona=same),
        chat(persona=f"{DIRECTIONS}:s02", model=f"{MODEL}+{DIRECTIONS}:s02"),
    ]
    with server.client() as client:
        answers = [client.chat.completions.create(**name) for name in names]
        assert {answer.model_extra["pasctl"]["persona"] for answer in answers} == {same}
        # no strength was chosen in this store
        assert {answer.model_extra["pasctl"]["alpha"] for answer in answers} == {1.0}
        assert len({answer.choices[0].message.content for answer in answers}) == 1
        listed = client.models.list()
        assert [each.id for each in listed] == [MODEL, *(f"{MODEL}+{person}" for person in PEOPLE)]
        assert client.models.retrieve(f"{MODEL}+s03").id == f"{MODEL}+s03"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(f"{MODEL}+nobody")


def test_completions_write_a_text_on(server: Running, handle: ModelHandle) -> None:
    model = handle.load()
    prompt = "I am the life of the party. I"
    ids = model.tokenizer(prompt)["input_ids"]
    with torch.inference_mode():
        made = model.model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)[0, len(ids) :]
    text = model.tokenizer.decode(made, skip_special_tokens=True)
    request: dict[str, Any] = {"model": MODEL, "temperature": 0}
    with server.client() as client:
        for given in (prompt, [prompt], ids, [ids]):
            answer = client.completions.create(prompt=given, **request)
            assert answer.choices[0].text == text
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), 16)
        assert answer.choices[0].finish_reason == "length"
        stop = text[9:12]
        cut = client.completions.create(prompt=prompt, stop=[stop, "?!?"], **request)
        assert (cut.choices[0].text, cut.choices[0].finish_reason) == (text[: text.index(stop)], "stop")
        chunks = list(
            client.completions.create(prompt=ids, stream=True, stream_options={"include_usage": True}, **request)
        )
        assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == text
        assert chunks[-1].choices == []
        assert chunks[-1].usage == answer.usage


def test_sampling_repeats_itself_with_a_seed_alone(server: Running) -> None:
    with server.client() as client:
        texts = [streamed(client, **chat(temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
        free = {streamed(client, **chat(temperature=1.5)) for _ in range(3)}
    assert texts[0] == texts[1] != texts[2]
    assert len(free) > 1


def test_who_hangs_up_frees_the_place(serve: Start) -> None:
    endless = chat(max_tokens=6000)
    with serve(max_batch=1, queue=0) as server, server.client() as client:
        counts = server.service.engine.counts
        chunks = client.chat.completions.create(**endless, stream=True)
        for _ in zip(range(3), chunks, strict=False):
            pass
        assert counts().running == 1
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**chat())
        chunks.close()
        until(lambda: counts().running == 0)
        # one who waits for a whole answer and goes
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("POST", "/v1/chat/completions", json.dumps(endless), {"content-type": "application/json"})
        until(lambda: counts().running == 1)
        connection.close()
        until(lambda: counts().running == 0)
        assert counts().outcomes["cancelled"] == 2
        assert client.chat.completions.create(**chat()).choices[0].message.content


def test_a_flood_gets_429_and_what_was_taken_is_answered(serve: Start) -> None:
    with serve(max_batch=2, queue=3) as server, server.client() as client, ThreadPoolExecutor(24) as threads:
        expected = streamed(client, **chat(max_tokens=100))

        def one(_: int) -> str | tuple[int, str, str | None]:
            try:
                return streamed(client, **chat(max_tokens=100))
            except openai.APIStatusError as error:
                return error.status_code, error.response.headers["retry-after"], error.type

        found = list(threads.map(one, range(24)))
        assert set(found) == {expected, (429, "1", "rate_limit_error")}
        assert found.count(expected) >= 5


def test_a_request_that_takes_too_long_is_told_so(serve: Start) -> None:
    endless = chat(max_tokens=6000)
    with serve(max_batch=1, timeout=0.6) as server, server.client() as client, ThreadPoolExecutor(2) as threads:
        first = threads.submit(streamed, client, **endless)
        until(lambda: server.service.engine.counts().running == 1)
        late = threads.submit(streamed, client, **endless)
        with pytest.raises(openai.APIError, match=r"being written after 0\.6 seconds"):
            first.result()
        with pytest.raises(openai.APIError, match="seconds"):
            late.result()
        with pytest.raises(openai.InternalServerError) as error:
            client.chat.completions.create(**endless)
        assert (error.value.status_code, error.value.type, error.value.code) == (504, "timeout_error", "timeout")


def test_a_key_is_asked_for(serve: Start) -> None:
    with serve(api_key="a-key") as server:
        assert server.client(api_key="a-key").models.list().data
        for wrong in ("another", "a-ke"):
            with pytest.raises(openai.AuthenticationError) as error:
                server.client(api_key=wrong).models.list()
            assert error.value.code == "invalid_api_key"
        assert raw(server, "/metrics-and-more")[0] == 401
        assert raw(server, "/health")[::2] == (
            200,
            {"status": "ok", "model": MODEL, "version": pasctl.__version__},
        )


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/v1/nothing", None, {}, 404, None),
        ("/v1/chat/completions", None, {}, 405, None),
        ("/v1/models", b"{}", JSON, 405, None),
        ("/v1/completions", b"{}", {}, 415, "invalid_content_type"),
        ("/v1/completions", b"{}", {"content-type": "text/plain"}, 415, "invalid_content_type"),
        ("/v1/completions", b" " * 3000, JSON, 413, "request_too_large"),
        ("/v1/completions", b" " * 90000, JSON, 413, "request_too_large"),
        ("/v1/completions", b"{", JSON, 400, "invalid_value"),
        ("/v1/models/gpt-4", None, {}, 404, "model_not_found"),
    ],
)
def test_errors_have_openais_shape(
    serve: Start, path: str, body: bytes | None, headers: dict[str, str], status: int, code: str | None
) -> None:
    with serve(max_body=2000) as server:
        found, _, document = raw(server, path, body, **headers)
    assert found == status
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"message", "type", "param", "code", "request_id"}
    assert document["error"]["code"] == code
    assert document["error"]["type"] == "invalid_request_error"


def test_a_body_that_does_not_come_is_not_waited_for(serve: Start) -> None:
    with serve(timeout=0.3) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        connection.putrequest("POST", "/v1/completions")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "100")
        connection.endheaders(b"{")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (408, "timeout")


def test_metrics_tell_what_was_done(serve: Start) -> None:
    with serve() as server, server.client() as client:
        client.chat.completions.create(**chat())
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**chat(n=200))
        counts = server.service.engine.counts()
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    path = 'path="/v1/chat/completions"'
    assert samples[f'pasctl_requests_total{{{path},status="200"}}'] == "1"
    assert samples[f'pasctl_requests_total{{{path},status="400"}}'] == "1"
    assert samples["pasctl_request_seconds_count"] == samples['pasctl_request_seconds_bucket{le="+Inf"}'] == "2"
    assert samples["pasctl_forward_tokens_total"] == str(counts.tokens_run)
    assert samples["pasctl_running"] == samples["pasctl_queue_length"] == "0"
    assert sum(int(value) for name, value in samples.items() if name.startswith("pasctl_texts_total")) == 1
