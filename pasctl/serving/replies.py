"""Answers in OpenAI's form: whole, or in chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pasctl.generation.stream import Stream

Kind = Literal["chat", "text"]


@dataclass(frozen=True)
class Reply:
    """The form of one answer.

    Attributes:
        kind: of a conversation or of a text.
        model: as the request named it.
        note: who answers, for the field `pasctl`.
        locate: gives the sources of the answer that a stream has written, if it comes from a memory.
        id: of the answer.
        created: when, in seconds since 1970.
    """

    kind: Kind
    model: str
    note: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))
    locate: Callable[[Stream], dict[str, Any]] | None = None

    def whole(self, text: str, stream: Stream) -> dict[str, Any]:
        """The answer in one piece."""
        said = {"message": {"role": "assistant", "content": text, "refusal": None}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": stream.finish_reason}
        name = "chat.completion" if self._chat else "text_completion"
        return {
            **self._head(name),
            "choices": [choice],
            "usage": usage(stream),
            "pasctl": self.note | self._located(stream),
        }

    def first(self) -> dict[str, Any]:
        """The chunk before any text."""
        said = {"delta": {"role": "assistant", "content": ""}} if self._chat else {"text": ""}
        return {**self._chunk(said, None), "pasctl": self.note}

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk with some text."""
        return self._chunk({"delta": {"content": text}} if self._chat else {"text": text}, None)

    def last(self, stream: Stream) -> dict[str, Any]:
        """The chunk that tells why the text ended, and, with a memory, where it comes from."""
        chunk = self._chunk({"delta": {}} if self._chat else {"text": ""}, stream.finish_reason)
        located = self._located(stream)
        return {**chunk, "pasctl": located} if located else chunk

    def usage(self, stream: Stream) -> dict[str, Any]:
        """The chunk that tells how many tokens there were."""
        return {**self._head(self._chunks), "choices": [], "usage": usage(stream)}

    def _located(self, stream: Stream) -> dict[str, Any]:
        return {} if self.locate is None else self.locate(stream)

    @property
    def _chat(self) -> bool:
        return self.kind == "chat"

    @property
    def _chunks(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _chunk(self, said: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return {**self._head(self._chunks), "choices": [choice]}

    def _head(self, name: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self._chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": name, "created": self.created, "model": self.model}


def usage(stream: Stream) -> dict[str, int]:
    """Tokens of the prompt and of the answer."""
    read, written = stream.prompt_tokens, stream.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
