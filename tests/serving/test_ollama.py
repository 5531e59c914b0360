"""Ollama's paths: the same answers as OpenAI's, in another form."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

import pasctl
from tests.serving.conftest import Running, Start
from tests.serving.test_server import DIRECTIONS, JSON, MODEL, PEOPLE, WORDS, chat, raw

OPTIONS = {"temperature": 0, "num_predict": 12}


def request(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": WORDS}], "options": OPTIONS, **more}


def lines(server: Running, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of a streamed answer."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("POST", "/api/chat", json.dumps(body), JSON)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("content-type")) == (200, "application/x-ndjson")
    found = [json.loads(line) for line in answer.read().splitlines()]
    connection.close()
    return found


def whole(server: Running, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    status, _, document = raw(server, "/api/chat", json.dumps({"stream": False, **body}).encode(), **JSON)
    return status, document


@pytest.mark.parametrize("persona", [None, "s02"])
def test_an_answer_is_that_of_openais_path(server: Running, persona: str | None) -> None:
    model = MODEL if persona is None else f"{MODEL}+{persona}"
    with server.client() as client:
        expected = client.chat.completions.create(**chat(model=model))
    text, usage = expected.choices[0].message.content, expected.usage
    for name in (model, f"{model}:latest"):
        *pieces, last = lines(server, request(model=name))
        assert "".join(piece["message"]["content"] for piece in pieces) == text
        assert not any(piece["done"] for piece in pieces)
        status, document = whole(server, request(model=name))
        assert (status, document["message"]) == (200, {"role": "assistant", "content": text})
        for told in (last, document):
            assert (told["done"], told["done_reason"]) == (True, expected.choices[0].finish_reason)
            assert (told["prompt_eval_count"], told["eval_count"]) == (usage.prompt_tokens, usage.completion_tokens)
            assert 0 < told["prompt_eval_duration"] + told["eval_duration"] <= told["total_duration"] + 2
            assert told["pasctl"]["persona"] == (persona and f"{DIRECTIONS}:case={persona}")


def test_options_mean_what_they_mean_in_openais_path(server: Running) -> None:
    options = {"temperature": 1.2, "seed": 3, "top_p": 0.9, "top_k": 20, "min_p": 0.01, "num_predict": 20}
    same = {name: options[name] for name in ("temperature", "seed", "top_p")}
    more = {"top_k": 20, "min_p": 0.01, "repetition_penalty": 1.3}
    with server.client() as client:
        expected = client.chat.completions.create(**chat(max_tokens=20, **same), extra_body=more)
    _, found = whole(server, request(options={**options, "repeat_penalty": 1.3, "repeat_last_n": -1}))
    assert found["message"]["content"] == expected.choices[0].message.content


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ({"model": "llama3"}, 404, "there is no model 'llama3'"),
        ({"format": "yaml"}, 400, "format"),
        ({"format": {"type": "nonsense"}}, 400, ""),
        ({"tools": [{}]}, 400, "tools.0.type"),
        ({"options": {"repeat_penalty": 1.1}}, 400, "expected repeat_last_n to be -1"),
        ({"options": {"num_predict": 0}}, 400, "num_predict is 0"),
        ({"options": {"temprature": 1}}, 400, "did you mean 'temperature'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, 400, "only text is read"),
        ({"messages": []}, 400, "messages"),
    ],
)
def test_errors_are_told_in_words(server: Running, more: dict[str, Any], status: int, told: str) -> None:
    found, document = whole(server, request(**more))
    assert (found, document.keys()) == (status, {"error", "request_id"})
    assert told in document["error"]


def test_errors_of_the_server_itself_are_told_in_words_too(serve: Start) -> None:
    with serve(api_key="k", timeout=0.5) as server:
        for path in ("/api/tags", "/api/nothing"):
            status, _, document = raw(server, path)
            assert (status, document["error"].startswith("the API key is missing")) == (401, True)
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        body = json.dumps(request(options={"num_predict": 6000, "temperature": 0}))
        connection.request("POST", "/api/chat", body, {**JSON, "authorization": "Bearer k"})
        *_, last = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        connection.close()
    assert "being written" in last["error"]


def test_the_models_are_listed_with_a_digest_of_each(server: Running) -> None:
    status, _, found = raw(server, "/api/tags")
    assert status == 200
    assert [each["name"] for each in found["models"]] == [f"{MODEL}:latest", *(f"{MODEL}+{p}:latest" for p in PEOPLE)]
    assert len({each["digest"] for each in found["models"]}) == 1 + len(PEOPLE)
    weights = list(server.service.engine.model.model.parameters())
    assert {each["size"] for each in found["models"]} == {sum(4 * each.numel() for each in weights)}
    assert raw(server, "/api/version")[::2] == (200, {"version": pasctl.__version__})
