"""Answers in OpenAI's form: whole, or in chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pasctl.serving.choices import Choice

Kind = Literal["chat", "text"]


@dataclass(frozen=True)
class Reply:
    """The form of one answer.

    Attributes:
        kind: of a conversation or of a text.
        model: as the request named it.
        note: who answers, for the field `pasctl`.
        per_prompt: texts of each prompt.
        id: of the answer.
        created: when, in seconds since 1970.
    """

    kind: Kind
    model: str
    note: dict[str, Any]
    per_prompt: int = 1
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The answer in one piece."""
        alone = len(choices) == 1
        name = "chat.completion" if self._chat else "text_completion"
        return {
            **self._head(name),
            "choices": [self._choice(choice, alone=alone) for choice in choices],
            **(choices[0].of_prompt() if self._chat else {}),
            "usage": self._usage(choices),
            "pasctl": self.note | (choices[0].located() if alone else {}),
        }

    def _choice(self, choice: Choice, *, alone: bool) -> dict[str, Any]:
        said = self._message(choice) if self._chat else {"text": choice.echoed + choice.stream.written}
        located = {} if alone else choice.located()
        return {
            "index": choice.index,
            **said,
            "logprobs": choice.all_logprobs(),
            "finish_reason": choice.finish_reason,
            **({} if self._chat else choice.of_prompt()),
            **({"pasctl": located} if located else {}),
        }

    def _message(self, choice: Choice) -> dict[str, Any]:
        said = choice.said(choice.stream.written, ended=True)
        calls = {"tool_calls": said.tool_calls(numbered=False)} if said.calls else {}
        content = None if calls and not said.words else said.words
        return {"message": {"role": "assistant", "content": content, "refusal": None, **calls}}

    def first(self, choice: Choice) -> dict[str, Any]:
        """The chunk before any text that is written."""
        said = {"delta": {"role": "assistant", "content": ""}} if self._chat else {"text": choice.echoed}
        return {**self._chunk(choice, said, choice.echo_logprobs()), "pasctl": self.note}

    def piece(self, choice: Choice, text: str, *, ended: bool = False) -> dict[str, Any] | None:
        """A chunk with some text, or None while it cannot be told whether it is a call.

        Args:
            choice: whose text it is.
            text: what that has grown by.
            ended: whether it has ended.
        """
        if not self._chat:
            return self._chunk(choice, {"text": text}, choice.new_logprobs())
        said = choice.said(text, ended=ended)
        words = {"content": said.words} if said.words else {}
        calls = {"tool_calls": said.tool_calls(numbered=True)} if said.calls else {}
        if not said.words and not calls:
            return None
        return self._chunk(choice, {"delta": {**words, **calls}}, choice.new_logprobs())

    def last(self, choice: Choice, *, alone: bool) -> dict[str, Any]:
        """The chunk that tells why a text ended, and, with a memory, where it comes from."""
        said: dict[str, Any] = {"delta": {}} if self._chat else {"text": ""}
        chunk = self._chunk(choice, said, choice.new_logprobs(), choice.finish_reason)
        if located := choice.located():
            (chunk if alone else chunk["choices"][0])["pasctl"] = located
        return chunk

    def usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The chunk that tells how many tokens there were."""
        return {**self._head(self._chunks), "choices": [], "usage": self._usage(choices)}

    def _usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """Tokens of the prompts, each counted once, and of the texts; and of the prompts those that were not read."""
        firsts = choices[:: self.per_prompt]
        read = sum(choice.stream.prompt_tokens for choice in firsts)
        reused = sum(choice.stream.cached_tokens for choice in firsts)
        written = sum(choice.stream.completion_tokens for choice in choices)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": reused},
        }

    @property
    def _chat(self) -> bool:
        return self.kind == "chat"

    @property
    def _chunks(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _chunk(
        self, choice: Choice, said: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None = None
    ) -> dict[str, Any]:
        told = {"index": choice.index, **said, "logprobs": logprobs, "finish_reason": reason}
        return {**self._head(self._chunks), "choices": [told]}

    def _head(self, name: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self._chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": name, "created": self.created, "model": self.model}
