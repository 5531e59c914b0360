"""Models `pasctl/MODEL` of inspect_ai: as they are or steered to a persona, written by pasctl's engine.

`inspect eval task.py --model pasctl/MODEL -M directions=REF -M persona=E+ -M alpha=auto`. Models of one evaluation that
differ in their persona alone share the weights and the batches.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    Content,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    Logprob,
    Logprobs,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    TopLogprob,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from pasctl.commands.shared import Positions
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO
from pasctl.generation.request import PromptTooLongError, Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.generation.structure import Structure
from pasctl.generation.token_rules import TokenRules
from pasctl.harness.shared_engine import MAX_BATCH, SharedEngine
from pasctl.models.options import ModelOptions
from pasctl.models.token_bytes import TokenBytes
from pasctl.serving.api_error import APIError
from pasctl.serving.logprobs import ChatLogprobs, TokenNames
from pasctl.serving.prompts import ChatPrompt, chat_prompt
from pasctl.serving.protocol import Message
from pasctl.stages.job import Outcome
from pasctl.stages.run import Run
from pasctl.stages.target import resolve

MOST_TOKENS = 1024
"""Of an answer, where a task does not say."""
_REFUSED = ("best_of", "prompt_logprobs", "modalities", "batch")
"""Options of `GenerateConfig` that change what is asked for, and are not there."""


class PasctlAPI(ModelAPI):
    """A model for inspect_ai.

    Attributes:
        target: who it is steered to; None is the model as it is.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - as the class it derives from has it
        *,
        persona: str | None = None,
        directions: str | None = None,
        alpha: float | str = AUTO,
        positions: Positions | None = None,
        store: str = "artifacts",
        dtype: str = "auto",
        device: str = "auto",
        attn: str = "auto",
        quantize: str = "auto",
        think: bool = False,
        max_batch: int = MAX_BATCH,
        **others: Any,
    ) -> None:
        """Load and steer a model.

        Args:
            model_name: what stands after `pasctl/`: demo, a hub id, a folder, or a .gguf file.
            base_url: of a server, which there is none of.
            api_key: not used.
            config: how answers are written.
            persona: its id; with neither persona, directions nor alpha the model is left as it is.
            directions: which to read; None takes the latest of this model.
            alpha: strength; "auto" is what `choose-alpha` chose, which runs first where it was not.
            positions: steer at "all" positions, or from the "answer" on; None is as the directions were selected.
            store: the store's folder.
            dtype: of the weights.
            device: where the model runs.
            attn: how it attends.
            quantize: int8 or int4 for weights of so many bits.
            think: let the model think before it answers, where its chat template has the switch.
            max_batch: texts written at the same time, if no other model of the evaluation has started the engine.
            **others: there are none.

        Raises:
            InputError: an unknown argument, no such persona, or a base URL.
            MissingError: there is no such model, or there are no directions of it.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        _require_known(others, base_url)
        run = Run(store)
        options = ModelOptions(dtype=dtype, device=device, attn=attn, quantize=quantize)
        handle = run.model(model_name, options)
        asked = SteeringTarget(persona=persona, directions=directions, alpha=alpha, positions=positions)
        target = resolve(asked, run, handle) if asked.given else None
        if isinstance(target, Outcome):
            raise RuntimeError("only a dry run resolves to an outcome")
        self.target, self._think = target, think
        self._shared = SharedEngine(handle, max_batch=max_batch)
        self._engine = self._shared.engine
        self._shift = None if target is None else target.intervention(self._engine.model.geometry)
        self._names = TokenNames(TokenBytes(self._engine.model.tokenizer))

    def close(self) -> None:
        """Give the model back; the last one of an evaluation unloads it."""
        self._shared.close()

    def max_tokens(self) -> int | None:
        """Of an answer, where a task does not say."""
        return MOST_TOKENS

    def max_connections(self) -> int:
        """Requests at the same time, where an evaluation does not say: twice those of a batch, so that none is idle."""
        return 2 * self._engine.max_batch

    def connection_key(self) -> str:
        """Models that share an engine share its places."""
        return str(id(self._engine))

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Answer a conversation.

        Raises:
            InputError: tools, pictures, or options that there are none of; or a conversation that cannot be rendered.
        """
        began = time.monotonic()
        _require_text(tools, config)
        prompt = self._prompt(input)
        try:
            streams = self._engine.submit_all(self._requests(prompt, config))
        except PromptTooLongError as error:
            return ModelOutput.from_content(self.model_name, error.message, stop_reason="model_length")
        await _ended(streams)
        choices = [self._choice(stream, config) for stream in streams]
        written = sum(_written(stream) for stream in streams)
        return ModelOutput(
            model=self.model_name,
            choices=choices,
            usage=ModelUsage(
                input_tokens=len(prompt.ids), output_tokens=written, total_tokens=len(prompt.ids) + written
            ),
            time=time.monotonic() - began,
            metadata=None if self.target is None else {"pasctl": self.target.params},
        )

    def _prompt(self, messages: Sequence[ChatMessage]) -> ChatPrompt:
        said = [Message(role=_role(each), content=_text(each)) for each in messages]
        prefill = bool(said) and said[-1].role == "assistant"
        try:
            return chat_prompt(self._engine.model.chat, said, None, think=self._think, prefill=prefill)
        except APIError as error:
            raise InputError(error.message) from error

    def _requests(self, prompt: ChatPrompt, config: GenerateConfig) -> list[Request]:
        """One per choice; they differ by their seed alone."""
        how = SamplingParams(
            max_new_tokens=config.max_tokens or MOST_TOKENS,
            temperature=1.0 if config.temperature is None else config.temperature,
            top_p=1.0 if config.top_p is None else config.top_p,
            seed=secrets.randbits(62) if config.seed is None else config.seed,
        )
        request = Request(
            prompt.ids,
            how,
            intervention=self._shift,
            positions="all" if self.target is None else self.target.positions,
            stop=tuple(config.stop_seqs or ()),
            answer_from=prompt.answer_from,
            rules=TokenRules(
                top_k=config.top_k or 0,
                presence_penalty=config.presence_penalty or 0.0,
                frequency_penalty=config.frequency_penalty or 0.0,
                logit_bias=tuple(sorted((config.logit_bias or {}).items())),
                structure=_structure(config),
            ),
            logprobs=(config.top_logprobs or 0) if config.logprobs else None,
        )
        return [replace(request, how=replace(how, seed=how.seed + n)) for n in range(config.num_choices or 1)]

    def _choice(self, stream: Stream, config: GenerateConfig) -> ChatCompletionChoice:
        message = ChatMessageAssistant(content=_content(stream.written), model=self.model_name, source="generate")
        told = _logprobs(stream, ChatLogprobs(self._names, config.top_logprobs or 0)) if config.logprobs else None
        return ChatCompletionChoice(message=message, stop_reason=self._stop_reason(stream), logprobs=told)

    def _stop_reason(self, stream: Stream) -> StopReason:
        if stream.finish_reason != "length":
            return "stop"
        context = self._engine.context
        full = context is not None and stream.prompt_tokens + len(stream.tokens) >= context
        return "model_length" if full else "max_tokens"


async def _ended(streams: Sequence[Stream]) -> None:
    """Wait for texts; whoever waits no longer gives their places back."""
    limiter = anyio.CapacityLimiter(1)  # of these alone: the usual one holds 40 of a whole evaluation
    try:
        for stream in streams:
            await anyio.to_thread.run_sync(stream.text, abandon_on_cancel=True, limiter=limiter)
    finally:
        for stream in streams:
            stream.cancel()


def _written(stream: Stream) -> int:
    """Tokens of an answer, the one that ended it among them."""
    return len(stream.tokens) + (stream.finish_reason == "stop")


def _structure(config: GenerateConfig) -> Structure | None:
    """The schema that an answer must keep to."""
    if config.response_schema is None:
        return None
    return Structure.json_schema(config.response_schema.json_schema.model_dump(exclude_none=True, by_alias=True))


def _require_known(others: dict[str, Any], base_url: str | None) -> None:
    if others or base_url is not None:
        raise InputError(
            f"model argument {next(iter(others), 'base_url')!r} is unknown",
            hint="expected persona, directions, alpha, positions, store, dtype, device, attn, quantize, think, or "
            "max_batch",
        )


def _require_text(tools: Sequence[ToolInfo], config: GenerateConfig) -> None:
    if tools:
        raise InputError(
            f"tools ({tools[0].name}) are not there with pasctl's models, expected a task without them",
            hint="an agent's tools need a server: `pasctl serve`, and inspect's provider openai-api",
        )
    for name in _REFUSED:
        if getattr(config, name, None):
            raise InputError(f"{name} is not there with pasctl's models", hint="leave it out")


def _role(message: ChatMessage) -> Any:
    if message.role == "tool":
        raise InputError("a message is of a tool, expected those of system, user and assistant alone")
    return message.role


def _text(message: ChatMessage) -> str:
    """The words of a message."""
    if isinstance(message.content, list):
        other = next((each for each in message.content if not isinstance(each, ContentText | ContentReasoning)), None)
        if other is not None:
            raise InputError(f"a message of the {message.role} has a part of type {other.type}, expected text alone")
    return str(message.text)


def _content(text: str) -> str | list[Content]:
    """An answer, the thinking that led to it apart."""
    thought, end, said = text.partition("</think>")
    if not end:
        return text
    return [ContentReasoning(reasoning=thought.replace("<think>", "").strip()), ContentText(text=said.lstrip("\n"))]


def _logprobs(stream: Stream, form: ChatLogprobs) -> Logprobs:
    content = form(stream.likelihoods, ())["content"]
    return Logprobs(
        content=[
            Logprob(**{**each, "top_logprobs": [TopLogprob(**likely) for likely in each["top_logprobs"]]})
            for each in content
        ]
    )
