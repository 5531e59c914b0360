"""`/openapi.json` is true: what it forbids is refused, answers are what it says, and nothing that it allows fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from pasctl.serving.app import make_app
from pasctl.serving.auth_middleware import PATHS, AuthMiddleware
from pasctl.serving.openapi import describe
from pasctl.serving.readiness import Readiness
from pasctl.serving.settings import Settings
from tests.serving.conftest import Running, Start
from tests.serving.test_server import DIRECTIONS, JSON, MODEL, raw

EXAMPLES = int(os.environ.get("PASCTL_FUZZ_EXAMPLES", "30"))  # per operation and mode
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
OPERATIONS = [
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
    ("/tokenize", "POST"),
    ("/detokenize", "POST"),
    ("/tokenizer_info", "GET"),
    ("/api/chat", "POST"),
    ("/api/tags", "GET"),
    ("/api/version", "GET"),
    ("/openapi.json", "GET"),
    ("/v1/models", "GET"),
    ("/v1/models/{name}", "GET"),
    ("/v1/personas", "GET"),
    ("/v1/personas", "POST"),
    ("/v1/personas/{name}", "GET"),
    ("/v1/personas/{name}", "DELETE"),
    ("/health", "GET"),
    ("/live", "GET"),
    ("/ready", "GET"),
    ("/metrics", "GET"),
]
POSTS = [*OPERATIONS[:4], ("/api/chat", "POST")]
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="PASCTL_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


@pytest.fixture(scope="module")
def short(serve: Start) -> Iterator[Running]:
    """A server whose answers are short."""
    with serve(max_new_tokens=3, max_batch=4) as server:
        Readiness(server.service.engine).write_first_token()
        yield server


def narrowed() -> dict[str, Any]:
    """The description, with the names that this server has: of all allowed requests, those that are answered."""
    document = describe(keyed=False)
    schemas = document["components"]["schemas"]
    for kind in ("ChatRequest", "CompletionRequest", "OllamaChatRequest"):
        schemas[kind]["properties"]["model"] = {"enum": [MODEL, f"{MODEL}+s01", f"{MODEL}+nobody"]}
    for kind in ("Extras", "ChatExtras"):
        properties = schemas[kind]["properties"]
        properties["persona"] = {"enum": [None, "s01", "s02", f"{DIRECTIONS}:case=s01"]}
        properties["memory"] = {"enum": [None, f"memory/{MODEL}/text-0", "latest"]}
    for kind in ("Message", "OllamaMessage"):  # this model's template has no tools
        schemas[kind]["properties"]["role"] = {"enum": ["system", "user", "assistant"]}
        schemas[kind]["required"] = ["role", "content"]
        schemas[kind]["properties"]["content"] = {"type": "string"}
    for kind, names in {
        "Message": ["tool_calls", "tool_call_id"],
        "OllamaMessage": ["tool_calls", "tool_name"],
        "ChatRequest": ["tools", "tool_choice"],
        "OllamaChatRequest": ["tools"],
    }.items():
        for name in names:
            del schemas[kind]["properties"][name]
    del schemas["TokenizeRequest"]["properties"]["messages"]  # either these or a prompt
    schemas["TokenizeRequest"]["required"] = ["prompt"]
    return document


def fuzz(server: Running, document: dict[str, Any], path: str, method: str, mode: GenerationMode) -> list[int]:
    """Statuses of what was answered; all checks hold for each."""
    statuses: list[int] = []
    operation = schemathesis.openapi.from_dict(document)[path][method]

    @FUZZ
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        response = case.call(base_url=server.url.removesuffix("/v1"))
        case.validate_response(response, checks=CHECKS)
        statuses.append(response.status_code)

    run()
    return statuses


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_the_description_allows_is_answered_as_it_says(short: Running, path: str, method: str) -> None:
    statuses = fuzz(short, describe(keyed=False), path, method, GenerationMode.POSITIVE)
    assert set(statuses) <= {200, 400, 403, 404, 409}


@pytest.mark.parametrize(("path", "method"), POSTS)
def test_requests_of_what_is_served_are_answered(short: Running, path: str, method: str) -> None:
    statuses = fuzz(short, narrowed(), path, method, GenerationMode.POSITIVE)
    assert set(statuses) <= {200, 400, 404}
    assert 200 in statuses


@pytest.mark.parametrize(("path", "method"), POSTS)
def test_what_the_description_forbids_is_refused(short: Running, path: str, method: str) -> None:
    # but for one mistake these would be answered
    statuses = fuzz(short, narrowed(), path, method, GenerationMode.NEGATIVE)
    assert set(statuses) <= {400, 404, 413, 415}
    assert 400 in statuses


WHOLE: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    "max_tokens": 1,
    "pasctl": {"persona": "s01"},
    "stream_options": {"include_usage": True},
    "chat_template_kwargs": {"enable_thinking": False},
    "response_format": {"type": "text"},
}


def test_an_unknown_field_in_any_object_is_refused(short: Running) -> None:
    def ask(body: dict[str, Any]) -> tuple[int, Any]:
        code, _, document = raw(short, "/v1/chat/completions", json.dumps(body).encode(), **JSON)
        return code, document.get("error", {}).get("param")

    assert ask(WHOLE)[0] == 200
    message = WHOLE["messages"][0]
    assert ask({**WHOLE, "unheard_of": 1}) == (400, "unheard_of")
    assert ask({**WHOLE, "messages": [{**message, "unheard_of": 1}]}) == (400, "messages.0.unheard_of")
    part = {**message["content"][0], "unheard_of": 1}
    inner = "messages.0.content.0.unheard_of"
    assert ask({**WHOLE, "messages": [{**message, "content": [part]}]}) == (400, inner)
    for name in ("pasctl", "stream_options", "chat_template_kwargs", "response_format"):
        assert ask({**WHOLE, name: {**WHOLE[name], "unheard_of": 1}}) == (400, f"{name}.unheard_of")


def test_the_description_has_all_paths_and_no_others(short: Running) -> None:
    app = make_app(short.service, Settings())
    assert isinstance(app, AuthMiddleware)
    served = {
        (route.path.replace(":path}", "}"), method)
        for route in app.app.routes  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD"}
    }
    described = {
        (path, method.upper()) for path, operations in describe(keyed=False)["paths"].items() for method in operations
    }
    assert served == described == set(OPERATIONS)
    assert {path.partition("/{")[0] for path, _ in described} == set(PATHS)  # what the log tells apart


def test_every_object_is_described_in_full(short: Running) -> None:
    code, _, document = raw(short, "/openapi.json")
    assert (code, document) == (200, describe(keyed=False))
    for name, schema in document["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                assert all(content["schema"] for content in response["content"].values()), (path, status)
    assert describe(keyed=True)["security"] == [{"key": []}]
