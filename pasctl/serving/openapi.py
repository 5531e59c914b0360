"""`/openapi.json`: what is sent and answered, from the classes that check requests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from pasctl.serving.metrics import CONTENT_TYPE
from pasctl.serving.protocol import ChatRequest, CompletionRequest
from pasctl.version import __version__

_STATUSES = {
    400: "the body is no JSON, has an unknown field, asks for what is not supported, or names what does not exist",
    401: "the API key is missing or wrong",
    403: "the header Host names another server",
    404: "there is no such model or persona",
    408: "the body did not come in time",
    413: "the body is too long",
    415: "the body is not application/json",
    429: "the queue is full",
    500: "the server failed",
    503: "the server is stopping, its store is busy, or too many connections are open",
    504: "the answer was not written in time",
}
_READING, _WRITING = (401, 403, 500, 503), tuple(_STATUSES)
_ANSWERED = Literal["stop", "length"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(_Answer):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(_Answer):
    """The body of every answer that is none of 200."""

    error: ErrorDetail


class Usage(_Answer):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class SourceNote(_Answer):
    """A part of a memory's text that was retrieved for an answer."""

    event: int
    token: int
    tokens: int
    file: str | None
    lines: list[int] | None = Field(description="first and last, counted from 1")
    characters: list[int] | None = Field(description="slice of the file's text")
    text: str
    share: float = Field(description="of layers, averaged over the answer's tokens")
    first_share: float = Field(description="of layers, for the answer's first token")
    memory: str | None
    modified: float | None


class SentenceSource(_Answer):
    """A source of a sentence: its place in the list of the answer's sources."""

    source: int
    share: float


class SentenceNote(_Answer):
    """A sentence of an answer."""

    text: str
    characters: list[int]
    sources: list[SentenceSource]


class Note(_Answer):
    """Who answered, and from which memory."""

    persona: str | None
    alpha: float | None
    memory: str | None
    sources: list[SourceNote] = Field(default=[], description="with a memory, what was retrieved most")
    sentences: list[SentenceNote] = Field(default=[], description="with a memory, the sources of each sentence")


class AnswerMessage(_Answer):
    """The words of a chat's answer."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(_Answer):
    """The one answer of a chat."""

    index: Literal[0]
    message: AnswerMessage
    logprobs: None
    finish_reason: _ANSWERED


class TextChoice(_Answer):
    """The one text of a completion."""

    index: Literal[0]
    text: str
    logprobs: None
    finish_reason: _ANSWERED


class _Written(_Answer):
    id: str
    created: int
    model: str
    usage: Usage
    pasctl: Note


class ChatCompletion(_Written):
    """An answer to /v1/chat/completions; with `stream`, events of chat.completion.chunk, then [DONE]."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice] = Field(min_length=1, max_length=1)


class Completion(_Written):
    """An answer to /v1/completions; with `stream`, events of text_completion, then [DONE]."""

    object: Literal["text_completion"]
    choices: list[TextChoice] = Field(min_length=1, max_length=1)


class ModelCard(_Answer):
    """A model, or it as one of the personas."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["pasctl"]


class Served(_Answer):
    """How many personas and which memories there are."""

    personas: int
    listed: int
    memories: list[str]


class ModelList(_Answer):
    """The models."""

    object: Literal["list"]
    data: list[ModelCard]
    pasctl: Served


class Health(_Answer):
    """That it answers."""

    status: Literal["ok"]
    model: str
    version: str


def describe(*, keyed: bool) -> dict[str, Any]:
    """The document.

    Args:
        keyed: whether requests must bring an API key.
    """
    answers = (ErrorBody, ChatCompletion, Completion, ModelCard, ModelList, Health)
    kinds = [(kind, "validation") for kind in (ChatRequest, CompletionRequest, *answers)]
    _, schemas = models_json_schema(kinds, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if keyed:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "pasctl", "version": __version__},
        "paths": {
            "/v1/chat/completions": {"post": _written(ChatRequest, ChatCompletion, "Answer a conversation.")},
            "/v1/completions": {"post": _written(CompletionRequest, Completion, "Write a text on.")},
            "/v1/models": {"get": _read("The model, and it as each persona.", _json(ModelList))},
            "/v1/models/{name}": {"get": _one_model()},
            "/health": {"get": _read("Whether it answers.", _json(Health)) | {"security": []}},
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
    return {"200": {"description": "done", "content": content}, **errors}


def _read(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": _responses(content, _READING)}


def _one_model() -> dict[str, Any]:
    """Names hold slashes, as references do, and persona ids are anything."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "summary": "One of the models.",
        "parameters": [name],
        "responses": _responses(_json(ModelCard), (*_READING, 404)),
    }


def _written(asked: type[BaseModel], answer: type[BaseModel], summary: str) -> dict[str, Any]:
    # what an event is has no schema before OpenAPI 3.2
    events = {
        "text/event-stream": {"schema": {"description": "events, each with a JSON document as data, then [DONE]"}}
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": _responses(_json(answer) | events, _WRITING),
    }
