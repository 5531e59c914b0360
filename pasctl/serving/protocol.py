"""Requests as OpenAI's clients send them, checked: a field that is not understood is refused.

`/openapi.json` describes these classes, so what it says is what is checked.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from pasctl.serving.api_error import APIError
from pasctl.serving.fields import (
    NeutralChatFields,
    NeutralCompletionFields,
    NeutralMessageFields,
    NeutralStreamFields,
    Strict,
)
from pasctl.serving.refusal import refusal_of
from pasctl.serving.sampling_fields import SamplingFields, Top
from pasctl.serving.tool_fields import EarlierCalls, ToolChoice, Tools

_MOST_STOPS, _LONGEST_STOP = 16, 512
_STRONGEST = 10_000

Stop = Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]
Ids = Annotated[list[int], Field(fail_fast=True)]


class Extras(Strict):
    """The field `pasctl`: who answers, and from which memory."""

    persona: str | None = Field(
        default=None, min_length=1, max_length=512, description="id of the directions served, or REF:case=ID"
    )
    alpha: float | None = Field(
        default=None, ge=-_STRONGEST, le=_STRONGEST, description="strength; by default the chosen one"
    )
    memory: str | None = Field(
        default=None, min_length=1, max_length=512, description="reference of a memory to answer from"
    )
    retrieve_every: int = Field(default=1, ge=1, description="with a memory, retrieve anew every N tokens")
    sources: int = Field(
        default=3, ge=0, le=64, description="with a memory, tell N parts of its text that the answer comes from"
    )


class ChatExtras(Extras):
    """The field `pasctl` of a conversation."""

    think: bool | None = Field(default=None, description="let the model think first, if its template has the switch")


class VllmArguments(Strict):
    """The field `vllm_xargs`, as vLLM with pasctl's plugin has it."""

    persona: str | None = Field(default=None, min_length=1, max_length=512, description="as pasctl.persona")
    alpha: float | None = Field(default=None, ge=-_STRONGEST, le=_STRONGEST, description="as pasctl.alpha")
    positions: Literal["all", "answer"] | Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="steer all tokens, those from the prompt's last on, or those from this place of the prompt on; by "
        "default as served",
    )


class StreamOptions(NeutralStreamFields):
    """Of `stream_options`."""

    include_usage: bool | None = Field(default=None, description="count tokens in a last chunk")


class TemplateSwitches(Strict):
    """Of `chat_template_kwargs`."""

    enable_thinking: bool | None = Field(default=None, description="as pasctl.think")


class Common(SamplingFields):
    """What both kinds of requests have."""

    path: ClassVar[str]

    model: str = Field(min_length=1, max_length=1024, description="the model's name, or the name+PERSONA")
    max_tokens: int | None = Field(default=None, ge=1, description="cut to the server's --max-new-tokens")
    stop: Stop | Annotated[list[Stop], Field(max_length=_MOST_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    pasctl: Extras | None = None
    vllm_xargs: VllmArguments | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def most_tokens(self) -> int | None:
        """Tokens wanted at most."""
        return self.max_tokens

    @property
    def top(self) -> int | None:
        """Most likely tokens to tell for each of the answer; None tells no log-probabilities."""
        return None


class Part(Strict):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class Message(NeutralMessageFields):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(fail_fast=True)] | None = Field(
        default=None, description="the words; null goes with tool_calls alone"
    )
    tool_calls: EarlierCalls | None = Field(default=None, description="of the assistant, what it called")
    tool_call_id: str | None = Field(
        default=None, min_length=1, max_length=128, description="of a tool, the call that it answers"
    )

    @property
    def text(self) -> str:
        """Its words."""
        parts = self.content or ""
        return parts if isinstance(parts, str) else "".join(part.text for part in parts)


class Prefill(Strict):
    """Whether the last message is the beginning of the answer."""

    add_generation_prompt: bool | None = Field(default=None, description="false with continue_final_message alone")
    continue_final_message: bool | None = Field(default=None, description="write on the assistant's last message")

    @property
    def prefill(self) -> bool:
        """Whether it is.

        Raises:
            APIError: one field asks for a new message, the other for none.
        """
        writes_on = bool(self.continue_final_message)
        if self.add_generation_prompt is writes_on:
            raise APIError(
                400,
                "expected one of add_generation_prompt and continue_final_message to be true: the answer is a message "
                "of its own, or writes the last one on",
                "add_generation_prompt",
            )
        return writes_on


class ChatRequest(Common, NeutralChatFields, Prefill):
    """Body of /v1/chat/completions."""

    path = "/v1/chat/completions"

    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, description="as max_tokens; the smaller one holds")
    chat_template_kwargs: TemplateSwitches | None = None
    tools: Tools | None = Field(default=None, description="what the model may call, as its chat template shows it")
    tool_choice: ToolChoice | None = Field(
        default=None, description="auto by default; required, or a tool's name, with pasctl[structured]"
    )
    parallel_tool_calls: bool | None = Field(default=None, description="false ends the answer after one call")
    logprobs: bool | None = Field(default=None, description="tell how likely each token of the answer is")
    top_logprobs: Top | None = Field(default=None, description="with logprobs, tell as many most likely tokens")
    pasctl: ChatExtras | None = None

    @property
    def most_tokens(self) -> int | None:
        """Tokens wanted at most, by both names of it."""
        return min(filter(None, (self.max_tokens, self.max_completion_tokens)), default=None)

    @property
    def top(self) -> int | None:
        """Most likely tokens to tell for each of the answer; None tells no log-probabilities.

        Raises:
            APIError: some are wanted, but no log-probabilities.
        """
        if self.top_logprobs and not self.logprobs:
            raise APIError(400, "top_logprobs is given without logprobs, expected logprobs to be true", "top_logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def think(self) -> bool:
        """Whether the model may think first.

        Raises:
            APIError: two fields contradict each other.
        """
        own = self.pasctl.think if self.pasctl else None
        switch = self.chat_template_kwargs.enable_thinking if self.chat_template_kwargs else None
        if None not in (own, switch) and own != switch:
            raise APIError(
                400,
                "chat_template_kwargs.enable_thinking says otherwise than pasctl.think",
                "chat_template_kwargs.enable_thinking",
            )
        return bool(own or switch)


class CompletionRequest(Common, NeutralCompletionFields):
    """Body of /v1/completions: prompts, each a text or token ids."""

    path = "/v1/completions"

    prompt: str | Ids | Annotated[list[str], Field(fail_fast=True)] | Annotated[list[Ids], Field(fail_fast=True)]

    max_tokens: int | None = Field(
        default=None, ge=0, description="cut to the server's --max-new-tokens; 0 reads alone"
    )
    echo: bool | None = Field(default=None, description="the text begins with the prompt")
    logprobs: Top | None = Field(
        default=None,
        description="tell how likely each token is, and as many most likely ones; with echo of the prompt too",
    )
    add_special_tokens: bool | None = Field(default=None, description="of a text; false leaves out what begins it")

    @property
    def top(self) -> int | None:
        """Most likely tokens to tell for each of the answer; None tells no log-probabilities."""
        return self.logprobs

    def prompts(self) -> list[str | list[int]]:
        """The prompts.

        Raises:
            APIError: there is none, or one is empty.
        """
        given = self.prompt
        prompts: list[str | list[int]] = [given]  # type: ignore[list-item]  # or a list of them
        if isinstance(given, list) and given and isinstance(given[0], str | list):
            prompts = list(given)
        for place, prompt in enumerate(prompts):
            if not prompt:
                which = "the prompt" if len(prompts) == 1 else f"prompt {place}"
                raise APIError(400, f"{which} is empty, expected at least one token", "prompt")
        return prompts


def extras_of(asked: Common) -> Extras:
    """The field `pasctl` of a request, with what `vllm_xargs` says of persona and alpha.

    Raises:
        APIError: the two contradict each other.
    """
    own, said = asked.pasctl or Extras(), asked.vllm_xargs or VllmArguments()
    for name, here, there in (("persona", own.persona, said.persona), ("alpha", own.alpha, said.alpha)):
        if None not in (here, there) and here != there:
            raise APIError(
                400,
                f"pasctl.{name} is {here!r}, vllm_xargs.{name} {there!r}: expected one of them",
                f"vllm_xargs.{name}",
            )
    given = {name: value for name in ("persona", "alpha") if (value := getattr(said, name)) is not None}
    return own.model_copy(update=given)


R = TypeVar("R", bound=Strict)
_ELSEWHERE = {
    name: f"{name} is a field of {kind.path}" for kind in (ChatRequest, CompletionRequest) for name in kind.model_fields
} | {name: f'{name} stands in the field pasctl, as {{"pasctl": {{"{name}": ...}}}}' for name in ChatExtras.model_fields}
"""Names that mean something in another place, and what is said of them there."""


def parse(kind: type[R], body: bytes) -> R:
    """A request from its body.

    Raises:
        APIError: 400, the body is no JSON, lacks something, has a field that is unknown, or asks for what is not
            supported.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise refusal_of(error, kind, _ELSEWHERE) from None
