"""From a request's body to a text that is written: who is meant, which memory, which tokens."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache, partial
from typing import Any

from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.answer_form import USER, thought_end
from pasctl.models.token_bytes import TokenBytes
from pasctl.models.tool_template import tool_form
from pasctl.models.transformers_compat import tokenize_with_starts
from pasctl.serving.answering import Answerer, Answering, Prompt, Writer
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.choices import Echo
from pasctl.serving.memories import Memories
from pasctl.serving.personas import LISTED, ServedPersonas
from pasctl.serving.prompts import chat_prompt
from pasctl.serving.protocol import ChatRequest, Common, CompletionRequest, VllmArguments, extras_of, parse
from pasctl.serving.tokens import detokenized, tokenized, tokenizer_info
from pasctl.serving.tools import tool_use
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.steering import ResolvedTarget

_NO_MODEL = "model_not_found"
_COMPLETION_TOKENS = 16  # what OpenAI's reference says for completions


class Service:
    """Answers requests with one model.

    Attributes:
        base: the model's name for clients; `base+persona` names one of the personas as well.
        engine: writes the texts.
        personas: that are served.
    """

    def __init__(
        self,
        base: str,
        engine: Engine,
        catalog: PersonaCatalog,
        memories: Memories,
        *,
        personas: ServedPersonas,
        max_new_tokens: int,
        beyond_context: EpisodicMemory | None = None,
    ) -> None:
        """Take what answers.

        Args:
            base: the model's name.
            engine: writes.
            catalog: of the personas.
            memories: that requests may name.
            personas: tells of them, and takes more in.
            max_new_tokens: most that an answer may have.
            beyond_context: an empty memory, which prompts are read through that do not fit into the context; None
                refuses them.
        """
        self.base, self.engine, self.personas = base, engine, personas
        self._catalog, self._memories, self._created = catalog, memories, int(time.time())
        self._bytes_of = TokenBytes(engine.model.tokenizer)
        self._tool_form = cache(partial(tool_form, engine.model.chat))
        self._writer = Writer(engine, max_new_tokens, beyond_context, self._bytes_of)

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
        return self.answer(parse(ChatRequest, body))

    def answer(self, asked: ChatRequest) -> Answering:
        """Begin to answer a conversation that was understood.

        Raises:
            APIError: it cannot be answered.
        """
        who, chat = self._meant(asked), self.engine.model.chat
        use = tool_use(asked, self._tool_form, opens_thought=chat.thinks)
        shown = use.tools if use else ()
        try:
            prompt = chat_prompt(
                chat, asked.messages, who.memory, think=asked.think, prefill=asked.prefill, tools=shown
            )
        except PasctlError as error:
            raise api_error_of(error, "messages") from error
        ids, answer_from = prompt.ids, prompt.answer_from
        if use and use.forced:
            ids, answer_from = [*ids, *chat.encode_words(use.form.begin)], len(ids)
        begun = Prompt(ids, answer_from=answer_from, thought_end=self._thought_end(asked) if asked.think else "")
        return self._writer.begin(asked, [begun], who, self._writer.most, use)

    def _thought_end(self, asked: ChatRequest) -> str:
        """What ends the thought that an answer begins with, if that must be known."""
        structured = asked.structure()
        if structured is None:
            return ""
        chat = self.engine.model.chat
        end = thought_end(chat.render(USER).rpartition(USER)[2], chat.template or "")
        if end is None:
            raise APIError(
                400,
                f"{structured[0]} is given for an answer that begins with a thought, and what ends a thought of this "
                "model is unknown (leave one of them out)",
                structured[0],
            )
        return end

    def completion(self, body: bytes) -> Answering:
        """Begin to write a text on.

        Raises:
            APIError: it cannot be written.
        """
        asked = parse(CompletionRequest, body)
        who = self._meant(asked)
        prompts = [self._prompt(asked, prompt, who) for prompt in asked.prompts()]
        return self._writer.begin(asked, prompts, who, _COMPLETION_TOKENS)

    def _prompt(self, asked: CompletionRequest, prompt: str | list[int], who: Answerer) -> Prompt:
        if not isinstance(prompt, str):
            return Prompt(prompt, Echo.of_ids(prompt, self._bytes_of) if asked.echo else None)
        # a caller of completions renders templates himself, so special tokens are meant
        special = who.memory is None and asked.add_special_tokens is not False
        try:
            ids, starts = tokenize_with_starts(self.engine.model.tokenizer, prompt, add_special_tokens=special)
        except PasctlError as error:
            raise api_error_of(error, "prompt") from error
        return Prompt(ids, Echo(prompt, starts) if asked.echo else None)

    def tokenize(self, body: bytes) -> dict[str, Any]:
        """The tokens of a prompt or of messages.

        Raises:
            APIError: there is no such model, or they cannot be tokenized.
        """
        return self._known(tokenized(self.engine, body))

    def detokenize(self, body: bytes) -> dict[str, Any]:
        """The text of tokens.

        Raises:
            APIError: there is no such model, or no such token.
        """
        return self._known(detokenized(self.engine, body))

    def tokenizer_info(self) -> dict[str, Any]:
        """Special tokens and template of the model's tokenizer."""
        return tokenizer_info(self.engine)

    def _known(self, answer: tuple[str | None, dict[str, Any]]) -> dict[str, Any]:
        """An answer for one of the models."""
        model, document = answer
        if model is not None:
            self.model(model)
        return document

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

    def _meant(self, asked: Common) -> Answerer:
        """Who answers, from which memory, and how that is told."""
        named, extras, said = self._named(asked.model), extras_of(asked), asked.vllm_xargs or VllmArguments()
        if named and extras.persona and extras.persona != named:
            raise APIError(
                400, f"the model names persona {named!r}, pasctl.persona {extras.persona!r}", "pasctl.persona"
            )
        persona = extras.persona or named
        if extras.alpha is not None and persona is None:
            raise APIError(400, "pasctl.alpha has no persona to steer to", "pasctl.alpha")
        if extras.retrieve_every != 1 and extras.memory is None:
            raise APIError(400, "pasctl.retrieve_every has no memory to retrieve from", "pasctl.retrieve_every")
        if said.positions is not None and persona is None:
            raise APIError(400, "positions without a persona to steer to", "vllm_xargs.positions")
        by_model = extras.persona is None
        target = None if persona is None else self._find(persona, extras.alpha, by_model=by_model)
        places = said.positions
        first = places if isinstance(places, int) else None
        if target is not None and places is not None:
            target = replace(target, positions="answer" if isinstance(places, int) else places)
        try:
            opened = None if extras.memory is None else self._memories.find(extras.memory)
        except PasctlError as error:
            raise api_error_of(error, "pasctl.memory") from error
        memory = opened.memory if opened else None
        who = {"persona": target.name, "alpha": target.alpha} if target else opened.steering if opened else {}
        note = {"persona": None, "alpha": None, **who, "memory": opened.name if opened else None}
        return Answerer(target, memory, note, first)

    def _find(self, persona: str, alpha: float | None, *, by_model: bool) -> ResolvedTarget:
        try:
            return self._catalog.find(persona, alpha)
        except PasctlError as error:
            refusal = api_error_of(error, "model" if by_model else "pasctl.persona")
            if by_model and refusal.status == 400:
                refusal = APIError(404, refusal.message, "model", _NO_MODEL)
            raise refusal from error
