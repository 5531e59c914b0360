"""Requests as OpenAI's clients send them, checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pasctl.serving.api_error import APIError

# Parameters that would change an answer's meaning, and the values under which they do not (beside null).
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "prompt_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "top_k": (-1, 0),
    "min_p": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
}
_INT64 = 1 << 63
_MOST_STOPS, _LONGEST_STOP = 16, 512
_STRONGEST = 10_000

Stop = Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Extras(_Model):
    """The field `pasctl`; what it does not know is refused, since a slip here would steer to nobody.

    Attributes:
        persona: ID of the directions served, or REF:ID, REF:case=ID.
        alpha: strength.
        memory: reference of a memory to answer from.
        think: let the model think first, where its template has a switch for it.
        retrieve_every: with a memory, recall anew each so many tokens.
    """

    model_config = ConfigDict(extra="forbid")

    persona: str | None = Field(default=None, min_length=1, max_length=512)
    alpha: float | None = Field(default=None, ge=-_STRONGEST, le=_STRONGEST)
    memory: str | None = Field(default=None, min_length=1, max_length=512)
    think: bool = False
    retrieve_every: int = Field(default=1, ge=1)


class StreamOptions(_Model):
    """Of `stream_options`."""

    include_usage: bool | None = None


class Common(_Model):
    """What both kinds of requests have; what is unknown is left alone."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=1024)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-_INT64, lt=_INT64)
    stop: Stop | Annotated[list[Stop], Field(max_length=_MOST_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    pasctl: Extras | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def most_tokens(self) -> int | None:
        """Tokens wanted at most."""
        return self.max_tokens


class Part(_Model):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class Message(_Model):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        """Its words."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(Common):
    """Body of /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def most_tokens(self) -> int | None:
        """Tokens wanted at most; `max_tokens` is the older name."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Common):
    """Body of /v1/completions: one prompt, a text or token ids."""

    prompt: str | list[int] | list[str] | list[list[int]]

    def only_prompt(self) -> str | list[int]:
        """The prompt.

        Raises:
            APIError: it is empty, or there are several.
        """
        prompt = self.prompt
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
            if len(prompt) > 1:
                raise APIError(400, f"there are {len(prompt)} prompts, expected one", "prompt")
            prompt = prompt[0]
        if not prompt:
            raise APIError(400, "the prompt is empty", "prompt")
        return prompt  # type: ignore[return-value]  # a list of int by now


R = TypeVar("R", bound=Common)


def parse(kind: type[R], body: bytes) -> R:
    """A request from its body.

    Raises:
        APIError: 400, the body is no JSON, lacks something, or asks for what is not supported.
    """
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or None
        raise APIError(400, f"{place or 'the body'}: {first['msg']}", place, "invalid_value") from None
    for name, neutral in _UNSUPPORTED.items():
        value = (request.model_extra or {}).get(name)
        if value is not None and value not in neutral:
            raise APIError(400, f"{name} is not supported, expected it to be left out", name, "unsupported_parameter")
    return request
