"""From a request's body to a text that is written: who is meant, which memory, which tokens."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.request import PromptTooLongError, Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.transformers_compat import tokenize
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.memories import Memories
from pasctl.serving.prompts import chat_prompt
from pasctl.serving.protocol import ChatRequest, Common, CompletionRequest, Extras, parse
from pasctl.serving.replies import Reply
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.steering import ResolvedTarget

LISTED = 1000
_NO_MODEL = "model_not_found"
_COMPLETION_TOKENS = 16  # what OpenAI's reference says for completions


@dataclass(frozen=True, eq=False)
class Answering:
    """An answer that is being written, and the form it is sent in."""

    stream: Stream
    reply: Reply
    streamed: bool
    include_usage: bool


class Service:
    """Answers requests with one model.

    Attributes:
        base: the model's name for clients; `base+persona` names one of the personas as well.
        engine: writes the texts.
    """

    def __init__(
        self,
        base: str,
        engine: Engine,
        catalog: PersonaCatalog,
        memories: Memories,
        *,
        max_new_tokens: int,
        beyond_context: EpisodicMemory | None = None,
    ) -> None:
        """Take what answers.

        Args:
            base: the model's name.
            engine: writes.
            catalog: of the personas.
            memories: that requests may name.
            max_new_tokens: most that an answer may have.
            beyond_context: an empty memory, which prompts are read through that do not fit into the context; None
                refuses them.
        """
        self.base, self.engine = base, engine
        self._catalog, self._memories, self._beyond_context = catalog, memories, beyond_context
        self._most, self._created = max_new_tokens, int(time.time())

    def describe(self) -> dict[str, Any]:
        """What is served."""
        return {
            "model": self.base,
            "personas": self._catalog.total,
            "memories": self._memories.names,
            "max_batch": self.engine.max_batch,
            "queue": self.engine.queue,
        }

    def chat(self, body: bytes) -> Answering:
        """Begin to answer a conversation; called by one thread at a time, as `completion` is.

        Raises:
            APIError: it cannot be answered.
        """
        asked = parse(ChatRequest, body)
        target, memory, note = self._meant(asked)
        think = asked.think
        try:
            ids = chat_prompt(self.engine.model.chat, asked.messages, memory, think=think)
        except PasctlError as error:
            raise api_error_of(error, "messages") from error
        return self._begin(asked, ids, target, memory, Reply("chat", asked.model, note), self._most)

    def completion(self, body: bytes) -> Answering:
        """Begin to write a text on.

        Raises:
            APIError: it cannot be written.
        """
        asked = parse(CompletionRequest, body)
        target, memory, note = self._meant(asked)
        prompt = asked.only_prompt()
        if isinstance(prompt, str):
            # a caller of completions renders templates himself, so special tokens are meant
            try:
                ids = tokenize(self.engine.model.tokenizer, prompt, add_special_tokens=memory is None)
            except PasctlError as error:
                raise api_error_of(error, "prompt") from error
        else:
            ids = prompt
        return self._begin(asked, ids, target, memory, Reply("text", asked.model, note), _COMPLETION_TOKENS)

    def models(self) -> dict[str, Any]:
        """The model, and it as each of the personas served, of very many the first."""
        ids = self._catalog.ids(LISTED)
        names = [self.base, *(f"{self.base}+{each}" for each in ids)]
        counts = {"personas": self._catalog.total, "listed": len(ids), "memories": self._memories.names}
        return {"object": "list", "data": [self._card(name) for name in names], "pasctl": counts}

    def model(self, name: str) -> dict[str, Any]:
        """What is known of one of the models.

        Raises:
            APIError: there is none of this name.
        """
        persona = self._named(name)
        if persona is not None:
            self._find(persona, None, by_model=True)
        return self._card(name)

    def _card(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "pasctl"}

    def _named(self, model: str) -> str | None:
        """The persona that a model's name names.

        Raises:
            APIError: 404, it is not this model.
        """
        if model == self.base:
            return None
        persona = model.removeprefix(f"{self.base}+")
        if persona in ("", model):
            expected = f"{self.base} or {self.base}+PERSONA"
            raise APIError(404, f"there is no model {model!r}, expected {expected}", "model", _NO_MODEL)
        return persona

    def _meant(self, asked: Common) -> tuple[ResolvedTarget | None, EpisodicMemory | None, dict[str, Any]]:
        """Who answers, from which memory, and how that is told."""
        named, extras = self._named(asked.model), asked.pasctl or Extras()
        if named and extras.persona and extras.persona != named:
            raise APIError(
                400, f"the model names persona {named!r}, pasctl.persona {extras.persona!r}", "pasctl.persona"
            )
        persona = extras.persona or named
        if extras.alpha is not None and persona is None:
            raise APIError(400, "pasctl.alpha has no persona to steer to", "pasctl.alpha")
        if extras.retrieve_every != 1 and extras.memory is None:
            raise APIError(400, "pasctl.retrieve_every has no memory to retrieve from", "pasctl.retrieve_every")
        by_model = extras.persona is None
        target = None if persona is None else self._find(persona, extras.alpha, by_model=by_model)
        try:
            opened = None if extras.memory is None else self._memories.find(extras.memory)
        except PasctlError as error:
            raise api_error_of(error, "pasctl.memory") from error
        memory = opened.memory if opened else None
        who = {"persona": target.name, "alpha": target.alpha} if target else opened.steering if opened else {}
        note = {"persona": None, "alpha": None, **who, "memory": opened.name if opened else None}
        return target, memory, note

    def _find(self, persona: str, alpha: float | None, *, by_model: bool) -> ResolvedTarget:
        try:
            return self._catalog.find(persona, alpha)
        except PasctlError as error:
            refusal = api_error_of(error, "model" if by_model else "pasctl.persona")
            if by_model and refusal.status == 400:
                refusal = APIError(404, refusal.message, "model", _NO_MODEL)
            raise refusal from error

    def _begin(
        self,
        asked: Common,
        ids: list[int],
        target: ResolvedTarget | None,
        memory: EpisodicMemory | None,
        reply: Reply,
        most: int,
    ) -> Answering:
        most_sources = (asked.pasctl or Extras()).sources
        if memory is not None and most_sources:
            reply = replace(reply, locate=partial(_sources, memory, len(ids), most_sources))
        how = SamplingParams(
            max_new_tokens=min(asked.most_tokens or most, self._most),
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            seed=secrets.randbits(63) if asked.seed is None else asked.seed,
            retrieve_every=(asked.pasctl or Extras()).retrieve_every,
        )
        context = self.engine.context
        if memory is None and self._beyond_context and context and len(ids) + how.max_new_tokens > context:
            memory = self._beyond_context
            reply.note["memory"] = "prompt"
        request = Request(
            ids,
            how,
            intervention=target.intervention(self.engine.model.geometry) if target else None,
            positions=target.positions if target else "all",
            memory=memory,
            stop=asked.stops,
            keep_recalled=reply.locate is not None,
        )
        try:
            stream = self.engine.submit(request)
        except PromptTooLongError as error:
            raise api_error_of(error, "messages" if reply.kind == "chat" else "prompt") from error
        except PasctlError as error:
            raise api_error_of(error) from error
        wants_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        return Answering(stream, reply, bool(asked.stream), wants_usage)


def _sources(memory: EpisodicMemory, prompt_tokens: int, count: int, stream: Stream) -> dict[str, Any]:
    """Sources and sentences of an answer as JSON."""
    return memory.sources_of(stream, prompt_tokens).first(count).to_json()
