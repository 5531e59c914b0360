"""Ollama's paths, for clients that speak nothing else: its chat, its list of models, and its version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pasctl.models.load import LoadedModel
from pasctl.serving.api_error import APIError
from pasctl.serving.choices import Choice, Said
from pasctl.serving.fields import NeutralOllamaFields, NeutralOllamaMessageFields, NeutralOllamaOptions, Strict
from pasctl.serving.protocol import ChatExtras, ChatRequest, Message, Stop
from pasctl.serving.sampling_fields import LEAST_REPETITION, MOST_REPETITION
from pasctl.serving.sending import AnswerResponse
from pasctl.serving.structure_fields import NamedSchema, ResponseFormat, Schema
from pasctl.serving.tool_fields import Name, Tools

LATEST = ":latest"
"""What Ollama's clients write behind a model's name."""
_WHOLE = -1


class OllamaOptions(NeutralOllamaOptions):
    """The field `options` of a chat; what is left out is as in /v1/chat/completions."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, le=1 << 31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    num_predict: int | None = Field(default=None, ge=-2, description="-1 and -2 are as many as the server allows")
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    repeat_penalty: float | None = Field(
        default=None, ge=LEAST_REPETITION, le=MOST_REPETITION, description="other than 1 with repeat_last_n -1"
    )
    repeat_last_n: int | None = Field(default=None, ge=-1, description="-1 is the prompt and the answer")

    def penalty(self) -> float | None:
        """The penalty for repetition.

        Raises:
            APIError: it is for the last tokens alone.
        """
        if self.repeat_penalty in (None, 1.0) or self.repeat_last_n == 0:
            return None
        if self.repeat_last_n != _WHOLE:
            raise APIError(
                400,
                "repeat_penalty counts the last tokens alone, expected repeat_last_n to be -1 (prompt and answer), or "
                "repeat_penalty to be 1",
                "options.repeat_penalty",
                "unsupported_parameter",
            )
        return self.repeat_penalty


class OllamaCalled(Strict):
    """What was called, and with what."""

    name: Name
    arguments: dict[str, Any]
    index: int | None = Field(default=None, description="its place, which is that in the list")


class OllamaCall(Strict):
    """A call of a tool in an earlier answer."""

    function: OllamaCalled


class OllamaMessage(NeutralOllamaMessageFields):
    """A message of a conversation."""

    role: str = Field(pattern="^(system|user|assistant|tool)$")
    content: str = ""
    tool_calls: Annotated[list[OllamaCall], Field(fail_fast=True)] | None = None
    tool_name: str | None = Field(default=None, description="of a tool, which of the calls it answers")


class OllamaChatRequest(NeutralOllamaFields):
    """Body of /api/chat."""

    path: ClassVar[str] = "/api/chat"

    model: str = Field(min_length=1, max_length=1024, description="the model's name, or the name+PERSONA")
    messages: Annotated[list[OllamaMessage], Field(fail_fast=True)] = Field(min_length=1)
    stream: bool | None = Field(default=None, description="true by default")
    format: Literal["", "json"] | Schema | None = Field(default=None, description="any JSON object, or a JSON schema")
    options: OllamaOptions | None = None
    tools: Tools | None = Field(default=None, description="what the model may call, as its chat template shows it")
    pasctl: ChatExtras | None = None

    def request(self) -> ChatRequest:
        """The same as a request of OpenAI's clients.

        Raises:
            APIError: an option has no counterpart with this value.
        """
        options = self.options or OllamaOptions()
        if options.num_predict == 0:
            raise APIError(400, "num_predict is 0, expected at least 1 or -1", "options.num_predict", "invalid_value")
        most = options.num_predict if (options.num_predict or 0) > 0 else None
        same = {name: getattr(options, name) for name in ("temperature", "top_p", "top_k", "min_p", "seed", "stop")}
        return ChatRequest(
            model=self.model.removesuffix(LATEST),
            messages=_with_ids(self.messages),
            tools=self.tools,
            max_tokens=most,
            repetition_penalty=options.penalty(),
            stream=self.stream is not False,
            response_format=self._form(),
            pasctl=self.pasctl,
            **same,
        )

    def _form(self) -> ResponseFormat | None:
        if not self.format and not isinstance(self.format, dict):
            return None
        if isinstance(self.format, dict):
            return ResponseFormat(type="json_schema", json_schema=NamedSchema(schema=self.format))
        return ResponseFormat(type="json_object")


def _with_ids(messages: Sequence[OllamaMessage]) -> list[Message]:
    """The messages as OpenAI's API has them, where calls have ids; answers without a name are in the calls' order.

    Raises:
        APIError: a tool answers no call.
    """
    found, waiting = list[Message](), dict[str, str]()
    for place, message in enumerate(messages):
        calls = {f"{place}-{at}": call.function for at, call in enumerate(message.tool_calls or ())}
        waiting |= {name: call.name for name, call in calls.items()}
        answered = None
        if message.role == "tool":
            fitting = [name for name, tool in waiting.items() if message.tool_name in (None, tool)]
            if not fitting:
                raise APIError(400, f"messages.{place} answers no call before it", f"messages.{place}.tool_name")
            answered = fitting[0]
            del waiting[answered]
        written = [
            {"id": name, "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for name, call in calls.items()
        ]
        found.append(
            Message.model_validate(
                {"role": message.role, "content": message.content, "tool_calls": written, "tool_call_id": answered}
            )
        )
    return found


class OllamaResponse(AnswerResponse):
    """An answer as Ollama sends it: one JSON document, or one per line."""

    streamed_as = "application/x-ndjson"

    def whole(self) -> dict[str, Any]:
        """The answer in one piece."""
        [choice] = self.answering.choices
        return {**self._line(choice.said(choice.stream.written, ended=True)), **self._told(choice)}

    def begin(self, choice: Choice) -> bytes:
        """Nothing comes before a text."""
        return b""

    def piece(self, choice: Choice, text: str) -> bytes:
        """A line with some text."""
        said = choice.said(text)
        return _json_line({**self._line(said), "done": False}) if said.words or said.calls else b""

    def end(self, choice: Choice) -> bytes:
        """The line that tells why the text ended, and how long it took."""
        return _json_line({**self._line(choice.said("", ended=True)), **self._told(choice)})

    def close(self) -> bytes:
        """Nothing comes after it."""
        return b""

    def failed(self, error: APIError) -> bytes:
        """A line with what went wrong."""
        return _json_line(error.body)

    def _line(self, said: Said) -> dict[str, Any]:
        calls = [{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in said.calls]
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return {
            "model": self.answering.reply.model,
            "created_at": now,
            "message": {"role": "assistant", "content": said.words, **({"tool_calls": calls} if calls else {})},
        }

    def _told(self, choice: Choice) -> dict[str, Any]:
        stream, located = choice.stream, choice.located()
        begun, first, ended = (
            stream.submitted if at is None else at for at in (stream.started, stream.first, stream.ended)
        )
        return {
            "done": True,
            "done_reason": stream.finish_reason,
            "total_duration": _nanoseconds(ended - stream.submitted),
            "load_duration": 0,
            "prompt_eval_count": stream.prompt_tokens,
            "prompt_eval_duration": _nanoseconds(first - begun),
            "eval_count": stream.completion_tokens,
            "eval_duration": _nanoseconds(ended - first),
            "pasctl": self.answering.reply.note | located,
        }


def tags(model: LoadedModel, models: dict[str, Any]) -> dict[str, Any]:
    """The models that are listed, as Ollama lists its own.

    Args:
        model: that is loaded; its weights are the size of each.
        models: the answer of /v1/models.
    """
    weights = list(model.model.parameters())
    size, count = sum(each.numel() * each.element_size() for each in weights), sum(each.numel() for each in weights)
    family = str(model.model.config.model_type)
    details = {
        "parent_model": "",
        "format": "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": f"{count / 1e6:.1f}M" if count < 1e9 else f"{count / 1e9:.1f}B",
        "quantization_level": model.quantization or model.dtype,
    }
    identity = json.dumps(model.source.identity, sort_keys=True)
    return {
        "models": [
            {
                "name": f"{each['id']}{LATEST}",
                "model": f"{each['id']}{LATEST}",
                "modified_at": datetime.fromtimestamp(each["created"], UTC).isoformat().replace("+00:00", "Z"),
                "size": size,
                "digest": hashlib.sha256(f"{identity} {each['id']}".encode()).hexdigest(),
                "details": details,
            }
            for each in models["data"]
        ]
    }


def _nanoseconds(seconds: float) -> int:
    return max(round(seconds * 1e9), 0)


def _json_line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
