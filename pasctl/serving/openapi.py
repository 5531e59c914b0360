"""`/openapi.json`: what is sent and answered, from the classes that check requests."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pasctl.serving.answers import (
    ChatCompletion,
    Completion,
    Detokenized,
    ErrorBody,
    ModelCard,
    ModelList,
    Tokenized,
    TokenizerInfo,
)
from pasctl.serving.metrics import CONTENT_TYPE
from pasctl.serving.ollama import OllamaChatRequest, OllamaResponse
from pasctl.serving.ollama_answers import OllamaChat, OllamaError, OllamaTags, OllamaVersion
from pasctl.serving.personas import AddRequest
from pasctl.serving.protocol import ChatRequest, CompletionRequest
from pasctl.serving.service_answers import DirectionsCard, DirectionsRemoved, Health, PersonaCard, PersonaList, State
from pasctl.serving.tokens import DetokenizeRequest, TokenizeRequest
from pasctl.version import __version__

_STATUSES = {
    400: "the body is no JSON, has an unknown field, asks for what is not supported, or names what does not exist",
    401: "the API key is missing or wrong",
    403: "the header Host names another server, or files may not be added",
    404: "there is no such model or persona",
    408: "the body did not come in time",
    409: "directions cannot be added or removed as things are",
    413: "the body is too long",
    415: "the body is not application/json",
    429: "the queue is full",
    500: "the server failed",
    503: "the model is being loaded, the server is stopping, its store is busy, or too many connections are open",
    504: "the answer was not written in time",
}
_READING = (401, 403, 500, 503)
_WRITING = tuple(status for status in _STATUSES if status != 409)
_HEADERS = {"X-Request-Id": {"description": "the request's own or a new one", "schema": {"type": "string"}}}
# what an event or a line is has no schema before OpenAPI 3.2
_EVENTS = {"text/event-stream": {"schema": {"description": "events, each with a JSON document as data, then [DONE]"}}}
_LINES = {OllamaResponse.streamed_as: {"schema": {"description": "a JSON document per line, the last of them done"}}}
_ASKED = (ChatRequest, CompletionRequest, TokenizeRequest, DetokenizeRequest, AddRequest, OllamaChatRequest)
_ANSWERED = (
    *(ChatCompletion, Completion, ModelCard, ModelList, Tokenized, Detokenized, TokenizerInfo, Health, ErrorBody),
    *(PersonaCard, PersonaList, DirectionsCard, DirectionsRemoved, State),
    *(OllamaChat, OllamaTags, OllamaVersion, OllamaError),
)


def describe(*, keyed: bool) -> dict[str, Any]:
    """The document.

    Args:
        keyed: whether requests must bring an API key.
    """
    kinds = [(kind, "validation") for kind in (*_ASKED, *_ANSWERED)]
    _, schemas = models_json_schema(kinds, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if keyed:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "pasctl", "version": __version__},
        "paths": {
            "/v1/chat/completions": {"post": _written(ChatRequest, ChatCompletion, "Answer a conversation.")},
            "/v1/completions": {"post": _written(CompletionRequest, Completion, "Write texts on.")},
            "/tokenize": {"post": _asked(TokenizeRequest, Tokenized, "The tokens of a prompt or of messages.")},
            "/detokenize": {"post": _asked(DetokenizeRequest, Detokenized, "The text of tokens.")},
            "/tokenizer_info": {"get": _read("Special tokens and template.", _json(TokenizerInfo))},
            "/v1/models": {"get": _read("The model, and it as each persona.", _json(ModelList))},
            "/v1/models/{name}": {"get": _named("One of the models.", ModelCard)},
            "/v1/personas": {
                "get": _read("The personas, and their directions.", _json(PersonaList)),
                "post": _asked(AddRequest, DirectionsCard, "Serve more directions.", statuses=(*_WRITING, 409)),
            },
            "/v1/personas/{name}": {
                "get": _named("One persona.", PersonaCard),
                "delete": _named("Serve directions no more that were added.", DirectionsRemoved, 409),
            },
            "/health": {"get": _read("Which model is served.", _json(Health)) | {"security": []}},
            "/live": {"get": _read("Whether the process answers.", _json(State)) | {"security": []}},
            "/ready": {"get": _read("Whether the model answers; else 503.", _json(State)) | {"security": []}},
            "/api/chat": {"post": _in_words(_written(OllamaChatRequest, OllamaChat, "Ollama's chat.", _LINES))},
            "/api/tags": {"get": _in_words(_read("Ollama's list of models.", _json(OllamaTags)))},
            "/api/version": {"get": _in_words(_read("Ollama's version, which is pasctl's.", _json(OllamaVersion)))},
            "/openapi.json": {"get": _read("This document.", {"application/json": {"schema": {"type": "object"}}})},
            "/metrics": {
                "get": _read("Counts, as Prometheus reads them.", {CONTENT_TYPE: {"schema": {"type": "string"}}})
            },
        },
        "components": components,
        "security": [{"key": []}] if keyed else [],
    }


def _json(kind: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}


def _responses(content: dict[str, Any], statuses: tuple[int, ...]) -> dict[str, Any]:
    errors = {str(status): {"description": _STATUSES[status], "content": _json(ErrorBody)} for status in statuses}
    answers = {"200": {"description": "done", "content": content}, **errors}
    return {status: answer | {"headers": _HEADERS} for status, answer in answers.items()}


def _read(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": _responses(content, _READING)}


def _named(summary: str, answer: type[BaseModel], *more: int) -> dict[str, Any]:
    """Names hold slashes, as references do, and persona ids are anything."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "summary": summary,
        "parameters": [name],
        "responses": _responses(_json(answer), (*_READING, 404, *more)),
    }


def _written(
    asked: type[BaseModel], answer: type[BaseModel], summary: str, streamed: dict[str, Any] = _EVENTS
) -> dict[str, Any]:
    return _asked(asked, answer, summary, streamed)


def _in_words(operation: dict[str, Any]) -> dict[str, Any]:
    """The same with errors as Ollama tells them."""
    answers = {
        status: answer if status == "200" else answer | {"content": _json(OllamaError)}
        for status, answer in operation["responses"].items()
    }
    return operation | {"responses": answers}


def _asked(
    asked: type[BaseModel],
    answer: type[BaseModel],
    summary: str,
    more: dict[str, Any] | None = None,
    statuses: tuple[int, ...] = _WRITING,
) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": _responses(_json(answer) | (more or {}), statuses),
    }
