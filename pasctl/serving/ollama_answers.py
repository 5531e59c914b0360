"""What Ollama's paths answer, as classes: `/openapi.json` describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from pasctl.serving.answers import Answer, Note


class OllamaError(Answer):
    """What went wrong."""

    error: str
    request_id: str | None


class OllamaFunction(Answer):
    """Which tool is called, and with what."""

    name: str
    arguments: dict[str, Any]


class OllamaAnsweredCall(Answer):
    """A call of a tool."""

    function: OllamaFunction


class OllamaWords(Answer):
    """The words of an answer, and the tools that it calls."""

    role: Literal["assistant"]
    content: str
    tool_calls: list[OllamaAnsweredCall] | SkipJsonSchema[None] = Field(default=None)


class OllamaChat(Answer):
    """An answer to /api/chat; with `stream`, lines, of which the last has `done` and the counts."""

    model: str
    created_at: str
    message: OllamaWords
    done: Literal[True]
    done_reason: Literal["stop", "length"]
    total_duration: int = Field(description="nanoseconds, as all durations")
    load_duration: Literal[0]
    prompt_eval_count: int
    prompt_eval_duration: int
    eval_count: int
    eval_duration: int
    pasctl: Note


class OllamaDetails(Answer):
    """What a model is."""

    parent_model: Literal[""]
    format: Literal["safetensors"]
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(Answer):
    """A model, or it as one of the personas."""

    name: str
    model: str
    modified_at: str
    size: int = Field(description="bytes of the weights")
    digest: str
    details: OllamaDetails


class OllamaTags(Answer):
    """The models."""

    models: list[OllamaModel]


class OllamaVersion(Answer):
    """The server's version."""

    version: str
