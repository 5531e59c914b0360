"""One text of an answer, whole or as it grows, with the log-probabilities that were asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.generation.likelihoods import TokenLikelihood
from pasctl.generation.stream import Stream
from pasctl.models.rendered import ToolCall
from pasctl.models.token_bytes import TokenBytes
from pasctl.serving.logprobs import ChatLogprobs, CompletionLogprobs, TextPlaces, TokenNames, prompt_logprobs
from pasctl.serving.tool_reader import ToolReader


@dataclass(frozen=True)
class Echo:
    """A prompt that is given back.

    Attributes:
        text: as it was sent; of token ids, what they say.
        starts: the character at which each token begins.
    """

    text: str
    starts: Sequence[int]

    @classmethod
    def of_ids(cls, ids: Sequence[int], bytes_of: TokenBytes) -> Echo:
        """What token ids say, special ones by their names."""
        places = TextPlaces(bytes_of)
        found = [places.add(token) for token in ids]
        return cls("".join(text for _, text in found) + places.rest(), [start for start, _ in found])


@dataclass(frozen=True)
class ChoiceForm:
    """What is told of an answer's text beside itself.

    Attributes:
        names: of tokens.
        logprobs: the form of those of its tokens; None for none.
        prompt_top: number of most likely tokens to tell for each of the prompt's; None tells nothing of them.
    """

    names: TokenNames
    logprobs: CompletionLogprobs | ChatLogprobs | None = None
    prompt_top: int | None = None


@dataclass(frozen=True)
class Said:
    """What a text says.

    Attributes:
        words: all that is no call.
        calls: of tools.
        first: place of the first of them among the calls of the whole text.
    """

    words: str
    calls: Sequence[ToolCall] = ()
    first: int = 0

    def tool_calls(self, *, numbered: bool) -> list[dict[str, Any]]:
        """The calls as OpenAI's API has them, in chunks with their places."""
        return [
            {
                **({"index": self.first + place} if numbered else {}),
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for place, call in enumerate(self.calls)
        ]


class Choice:
    """One text of an answer.

    Attributes:
        index: among the answer's texts.
        stream: what writes it.
        echo: the prompt, if it is part of the text.
    """

    def __init__(
        self,
        index: int,
        stream: Stream,
        form: ChoiceForm,
        *,
        echo: Echo | None = None,
        locate: Callable[[Stream], dict[str, Any]] | None = None,
        tools: ToolReader | None = None,
    ) -> None:
        """Begin a text.

        Args:
            index: among the answer's texts.
            stream: what writes it.
            form: what is told beside it.
            echo: the prompt, if it is part of the text.
            locate: gives the sources of what a stream has written, if it comes from a memory.
            tools: tells calls of tools from words, if there are tools.
        """
        self.index, self.stream, self.echo = index, stream, echo
        self._tools, self._calls = tools, 0
        self._form, self._locate, self._told = form, locate, 0
        self._places = TextPlaces(form.names.bytes_of, len(self.echoed), skip_special=True)

    @property
    def echoed(self) -> str:
        """The part of the text that is the prompt."""
        return self.echo.text if self.echo else ""

    @property
    def finish_reason(self) -> str | None:
        """Why the text ended."""
        reason = self.stream.finish_reason
        return "tool_calls" if reason == "stop" and self._calls else reason

    def said(self, text: str, *, ended: bool = False) -> Said:
        """Words and calls that are known once the text has grown.

        Args:
            text: what it has grown by.
            ended: whether that is all.
        """
        if self._tools is None:
            return Said(text)
        parts = [*self._tools.add(text), *(self._tools.end() if ended else ())]
        calls = [part for part in parts if isinstance(part, ToolCall)]
        first, self._calls = self._calls, self._calls + len(calls)
        return Said("".join(part for part in parts if isinstance(part, str)), calls, first)

    def echo_logprobs(self) -> dict[str, Any] | None:
        """Those of the prompt's tokens, if it is part of the text."""
        if self.echo is None or self._form.logprobs is None:
            return None
        return self._form.logprobs(self.stream.prompt_likelihoods, self.echo.starts)

    def new_logprobs(self) -> dict[str, Any] | None:
        """Those of the tokens that were written since the last call."""
        found = self.stream.likelihoods[self._told :]
        self._told += len(found)
        return self._form.logprobs(found, self._starts(found)) if found and self._form.logprobs else None

    def all_logprobs(self) -> dict[str, Any] | None:
        """Those of all tokens of the text."""
        if self._form.logprobs is None:
            return None
        found, starts = self.stream.likelihoods, self._starts(self.stream.likelihoods)
        if self.echo is not None:
            found, starts = [*self.stream.prompt_likelihoods, *found], [*self.echo.starts, *starts]
        return self._form.logprobs(found, starts)

    def of_prompt(self) -> dict[str, Any]:
        """The field of the prompt's log-probabilities, if they were asked for."""
        if self._form.prompt_top is None:
            return {}
        found = prompt_logprobs(self.stream.prompt_likelihoods, self._form.names, self._form.prompt_top)
        return {"prompt_logprobs": found}

    def located(self) -> dict[str, Any]:
        """Sources and sentences of the answer, if it comes from a memory."""
        return {} if self._locate is None else self._locate(self.stream)

    def _starts(self, found: Sequence[TokenLikelihood]) -> list[int]:
        return [self._places.add(each.token)[0] for each in found]
