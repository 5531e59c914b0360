"""Messages as the model's chat template renders them, in any order that it allows, with tools and their calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pasctl.errors import InputError
from pasctl.models.answer_form import RENDERING_ERRORS
from pasctl.models.chat import ChatRenderer
from pasctl.models.conversation import Conversation, answer_start, spoken
from pasctl.models.transformers_compat import first_line


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, as a model writes it.

    Attributes:
        name: of the tool.
        arguments: by their names.
        id: of the call.
    """

    name: str
    arguments: Mapping[str, Any]
    id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The call as chat templates take it."""
        function = {"name": self.name, "arguments": dict(self.arguments)}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True)
class Message:
    """What somebody says in a conversation.

    Attributes:
        role: "system", "user", "assistant", or "tool" for what a tool has answered.
        words: that are said.
        calls: of tools, by the assistant.
        answers: the id of the call that a tool's words answer.
        tool: the name of that tool.
    """

    role: str
    words: str
    calls: tuple[ToolCall, ...] = ()
    answers: str = ""
    tool: str = ""

    def to_json(self, content: str) -> dict[str, Any]:
        """The message as chat templates take it, with `content` in the place of the words."""
        calls = {"tool_calls": [call.to_json() for call in self.calls]} if self.calls else {}
        answers = {"tool_call_id": self.answers, "name": self.tool} if self.role == "tool" else {}
        return {"role": self.role, "content": content, **calls, **answers}


@dataclass(frozen=True)
class _Place:
    """Where a template has put the words of a message.

    Attributes:
        before: the template's own text between the words before and these.
        words: that stand there, in the form in which the template writes them.
    """

    before: str
    words: str


@dataclass
class _Marks:
    """Stand for the words of messages while they are rendered.

    A mark has quotes in it, so that it shows whether the template writes words as they are or as a JSON string.
    """

    messages: Sequence[Message]
    content: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.content = [
            "" if message.calls and not message.words else f'pasctl"mark"{number}"end'
            for number, message in enumerate(self.messages)
        ]

    def places(self, text: str) -> tuple[list[_Place], str]:
        """Where the words stand in what was rendered, and what comes after the last.

        Raises:
            InputError: a mark is not there once, or they are in another order.
        """
        places = []
        for message, mark in zip(self.messages, self.content, strict=True):
            if not mark:
                continue
            words = spoken(message.words) if message.role == "assistant" else message.words
            escaped = _as_json(mark)
            if text.count(mark) + text.count(escaped) != 1:
                raise InputError("the chat template leaves out a message, or does not keep their order")
            if mark not in text:
                mark, words = escaped, _as_json(words)
            before, _, text = text.partition(mark)
            places.append(_Place(before, words))
        return places, text


def rendered(
    chat: ChatRenderer, messages: Sequence[Message], *, thinking: bool = False, tools: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """Token ids of messages as the template renders them, up to where the answer begins.

    Words are never taken for special tokens. Roles may stand in any order that the template allows.

    Args:
        chat: renders the model's template.
        messages: of the conversation.
        thinking: leave the model to think before it answers.
        tools: that the model may call, as OpenAI's API describes them.

    Raises:
        InputError: the template refuses the messages, or leaves out or alters one, a tool or a call; a tool or a call
            has the text of a special token in it; or there is no switch for thinking.
    """
    if chat.kind == "base":
        raise InputError("the model has no chat template, so there is no place for tools and later system messages")
    conversation = Conversation(chat, thinking=thinking)  # refuses a template without the switch
    marks = _Marks(messages)
    marked = [message.to_json(mark) for message, mark in zip(messages, marks.content, strict=True)]
    try:
        text = chat.render_messages(marked, thinking=thinking, tools=tools)
    except RENDERING_ERRORS as error:
        raise InputError(f"the chat template cannot render these messages: {first_line(error)}") from error
    places, end = marks.places(text)
    markup = [*(place.before for place in places), end]
    _check_calls(chat, messages, tools, markup)
    markup[-1] += answer_start(chat, thinking=thinking)
    ids = [*chat.start_ids, *chat.encode_start(markup[0].rstrip(" "))]
    for place, behind in zip(places, markup[1:], strict=True):
        ids += conversation.words(place.words, place.before)
        ids += chat.encode_words(behind.rstrip(" "))
    return ids


def _check_calls(
    chat: ChatRenderer, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], markup: Sequence[str]
) -> None:
    """Refuse tools and calls that the template leaves out, or in which special tokens would be taken for real."""
    calls = [call.to_json() for message in messages for call in message.calls]
    functions = [each["function"] for each in (*tools, *calls)]
    missing = [each["name"] for each in functions if not any(_as_json(each["name"]) in part for part in markup)]
    if missing:
        raise InputError(
            f"the chat template leaves out the tool {missing[0]!r}",
            hint="take a model whose template has tools, such as Qwen3",
        )
    special = chat.tokenizer.all_special_tokens
    for text in _texts([*tools, *calls]):
        if found := next((token for token in special if token in text), None):
            raise InputError(f"a tool or a call has {found!r} in it, which the model takes for a special token")


def _texts(document: Any) -> Iterable[str]:
    """All strings in a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(document, Sequence):
        for value in document:
            yield from _texts(value)


def _as_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
