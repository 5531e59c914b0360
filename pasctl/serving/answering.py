"""From a request that is understood to its texts, which the engine writes: one per prompt and per `n`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.grammars import grammars_of
from pasctl.generation.request import PromptTooLongError, Request
from pasctl.generation.stream import Stream
from pasctl.generation.token_rules import TokenRules
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.token_bytes import TokenBytes
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.choices import Choice, ChoiceForm, Echo
from pasctl.serving.logprobs import ChatLogprobs, CompletionLogprobs, TokenNames
from pasctl.serving.protocol import ChatRequest, Common, CompletionRequest, Extras
from pasctl.serving.replies import Reply
from pasctl.serving.tools import ToolUse
from pasctl.stages.steering import ResolvedTarget


@dataclass(frozen=True, eq=False)
class Answering:
    """An answer that is being written, and the form it is sent in."""

    choices: Sequence[Choice]
    reply: Reply
    streamed: bool
    include_usage: bool


@dataclass(frozen=True)
class Prompt:
    """A prompt as token ids.

    Attributes:
        ids: of its tokens.
        echo: what is given back of it; None is nothing.
        answer_from: the place where the answer begins, if its first words are given; None is the end.
        thought_end: what ends the thought that the answer begins with; "" is none.
    """

    ids: Sequence[int]
    echo: Echo | None = None
    answer_from: int | None = None
    thought_end: str = ""


@dataclass(frozen=True, eq=False)
class Answerer:
    """Who answers.

    Attributes:
        target: the persona; None is the model as it is.
        memory: what is answered from.
        note: how that is told, in the field `pasctl`.
        first: the place in the prompt from which on it is steered, where a request says one; None is the target's.
    """

    target: ResolvedTarget | None
    memory: EpisodicMemory | None
    note: dict[str, Any]
    first: int | None = None


@dataclass(frozen=True, eq=False)
class Writer:
    """Begins to write the texts of requests.

    Attributes:
        engine: writes them.
        most: tokens that a text may have.
        beyond_context: an empty memory, which prompts are read through that do not fit into the context; None refuses
            them.
        bytes_of: of the model's tokens.
    """

    engine: Engine
    most: int
    beyond_context: EpisodicMemory | None
    bytes_of: TokenBytes

    def begin(
        self, asked: Common, prompts: Sequence[Prompt], who: Answerer, usual: int, tools: ToolUse | None = None
    ) -> Answering:
        """Queue all texts of a request, or none.

        Args:
            asked: the request.
            prompts: its prompts.
            who: answers.
            usual: tokens of a text where the request does not say.
            tools: that the answer may call.

        Raises:
            APIError: they cannot be written.
        """
        tokens = min(usual if asked.most_tokens is None else asked.most_tokens, self.most)
        asked.check(tokens, stream=bool(asked.stream))
        requests = [each for prompt in prompts for each in self._requests(asked, prompt, who, tokens)]
        if tools:
            requests = [_held_to(tools, each) for each in requests]
        chat = isinstance(asked, ChatRequest)
        self._check_rules(asked, requests[0].rules)
        try:
            streams = self.engine.submit_all(requests)
        except PromptTooLongError as error:
            raise api_error_of(error, "messages" if chat else "prompt") from error
        except PasctlError as error:
            raise api_error_of(error) from error
        reply = Reply("chat" if chat else "text", asked.model, who.note, per_prompt=asked.texts)
        choices = self._choices(asked, prompts, who, streams, tools)
        return Answering(
            choices, reply, bool(asked.stream), bool(asked.stream_options and asked.stream_options.include_usage)
        )

    def _check_rules(self, asked: Common, rules: TokenRules) -> None:
        """Refuse rules that the model cannot follow, and say in which field they are."""
        model, structured = self.engine.model, asked.structure()
        try:
            rules.check(model.vocabulary)
        except PasctlError as error:
            raise api_error_of(error, "logit_bias" if "logit_bias" in error.message else "stop_token_ids") from error
        if structured is None or rules.structure is None:
            return
        try:
            grammars_of(model).matcher(rules.structure)
        except PasctlError as error:
            raise api_error_of(error, structured[0]) from error

    def _requests(self, asked: Common, prompt: Prompt, who: Answerer, tokens: int) -> list[Request]:
        """Those of one prompt; they differ by their seed alone."""
        extras, target, memory, context = asked.pasctl or Extras(), who.target, who.memory, self.engine.context
        if memory is None and self.beyond_context and context and len(prompt.ids) + tokens > context:
            memory = self.beyond_context
            who.note["memory"] = "prompt"
        how = asked.sampling(max(tokens, 1), extras.retrieve_every)
        echoed = None if prompt.echo is None else asked.top
        prompt_top = max((top for top in (asked.prompt_logprobs, echoed) if top is not None), default=None)
        if who.first is None:
            _require_steered_prompt(target, prompt_top)
        elif who.first >= len(prompt.ids):
            told = f"positions is {who.first}, expected a place in the prompt, which has {len(prompt.ids)} tokens"
            raise APIError(400, told, "vllm_xargs.positions")
        request = Request(
            prompt.ids,
            how,
            intervention=target.intervention(self.engine.model.geometry) if target else None,
            positions=target.positions if target else "all",
            memory=memory,
            stop=asked.stops,
            keep_recalled=_locates(who, extras),
            answer_from=prompt.answer_from if who.first is None else who.first + 1,
            rules=_rules(asked, prompt.thought_end),
            logprobs=asked.top,
            prompt_logprobs=prompt_top,
            prompt_only=tokens == 0,
        )
        return [replace(request, how=replace(how, seed=how.seed + number)) for number in range(asked.texts)]

    def _choices(
        self,
        asked: Common,
        prompts: Sequence[Prompt],
        who: Answerer,
        streams: Sequence[Stream],
        tools: ToolUse | None,
    ) -> list[Choice]:
        names, top, choices = (
            TokenNames(self.bytes_of, bool(asked.return_tokens_as_token_ids)),
            asked.top,
            list[Choice](),
        )
        logprobs = CompletionLogprobs if isinstance(asked, CompletionRequest) else ChatLogprobs
        form = ChoiceForm(names, None if top is None else logprobs(names, top), asked.prompt_logprobs)
        extras = asked.pasctl or Extras()
        for index, stream in enumerate(streams):
            prompt, locate = prompts[index // asked.texts], None
            if who.memory is not None and _locates(who, extras):
                locate = partial(_sources, who.memory, len(prompt.ids), extras.sources)
            reader = tools.reader() if tools else None
            choices.append(Choice(index, stream, form, echo=prompt.echo, locate=locate, tools=reader))
        return choices


def _held_to(tools: ToolUse, request: Request) -> Request:
    """A request whose answer may call tools.

    Raises:
        APIError: the answer has a form already, or calls cannot be held to one.
    """
    if request.rules.structure is not None:
        raise APIError(
            400,
            "the whole answer has a form, so it cannot call tools (send tool_choice none, or no form for the answer)",
            "tools",
        )
    structure = tools.structure()
    if structure and request.rules.min_tokens:
        raise APIError(400, "min_tokens is given with calls that have a form, which says where they end", "min_tokens")
    rules = replace(request.rules, structure=structure) if structure else request.rules
    return replace(request, stop=(*request.stop, *tools.stops), rules=rules)


def _rules(asked: Common, thought_end: str) -> TokenRules:
    """What alters the probabilities of tokens.

    Raises:
        APIError: a structure is asked for that is none, or together with what could cut it.
    """
    structured = asked.structure(thought_end)
    if structured is None:
        return asked.rules()
    field, structure = structured
    for name, given in (("stop", asked.stops), ("min_tokens", asked.min_tokens)):
        if given:
            raise APIError(
                400,
                f"{name} is given with {field}: a structured answer ends where it is complete, and nowhere else "
                "(leave one of them out)",
                name,
            )
    return replace(asked.rules(), structure=structure)


def _locates(who: Answerer, extras: Extras) -> bool:
    """Whether an answer's sources are told."""
    return who.memory is not None and extras.sources > 0


def _require_steered_prompt(target: ResolvedTarget | None, prompt_top: int | None) -> None:
    """Refuse to tell as a persona's what is the model's own.

    Raises:
        APIError: likelihoods of a prompt are wanted of a persona that changes the answer alone.
    """
    if prompt_top is not None and target is not None and target.alpha and target.positions == "answer":
        raise APIError(
            400,
            f"persona {target.name} is steered at the answer alone, so a prompt's log-probabilities would be the "
            "model's own (serve with --positions all, or leave the persona out)",
            "model",
            "unsteered_prompt",
        )


def _sources(memory: EpisodicMemory, prompt_tokens: int, count: int, stream: Stream) -> dict[str, Any]:
    """Sources and sentences of an answer as JSON."""
    return memory.sources_of(stream, prompt_tokens).first(count).to_json()
