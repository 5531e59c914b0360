"""From messages to token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pasctl.errors import InputError
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.chat import ChatRenderer
from pasctl.models.conversation import Conversation
from pasctl.models.rendered import Message as Said
from pasctl.models.rendered import ToolCall, rendered
from pasctl.serving.api_error import APIError
from pasctl.serving.protocol import Message

_BETWEEN = "\n\n"


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation as token ids, up to where the model writes on.

    Attributes:
        ids: of its tokens.
        answer_from: the place where the answer begins, if its first words are given; None is the end.
    """

    ids: Sequence[int]
    answer_from: int | None = None


def chat_prompt(
    chat: ChatRenderer,
    messages: Sequence[Message],
    memory: EpisodicMemory | None = None,
    *,
    think: bool,
    prefill: bool = False,
    tools: Sequence[Mapping[str, Any]] = (),
) -> ChatPrompt:
    """Token ids of a conversation, up to where the model writes on.

    With a memory, its text stands in the first user's turn, before the first user's words; a system text stands between
    them, since nothing can be put before a text that was read. Messages of one role that follow each other are one.

    Args:
        chat: the model's template.
        messages: of the conversation.
        memory: what is asked; None for none.
        think: let the model think first.
        prefill: the last message is the beginning of the answer.
        tools: that the model may call.

    Raises:
        APIError: the conversation does not begin and end as it must.
        InputError: the model's template cannot render it.
    """
    turns = _merged(read_messages(messages))
    given = _given(turns) if prefill else ""
    if prefill:
        turns = turns[:-1]
    _check(turns, prefill=prefill)
    later = any(turn.role == "system" for turn in turns[1:])
    called = bool(tools) or any(turn.calls for turn in turns)
    if (later or called) and memory is not None:
        what = "tools are called" if called else "a system message stands behind others, expected it first"
        raise APIError(400, f"{what} with a memory, which has no place for that", "tools" if called else "messages")
    if later or called:
        ids = rendered(chat, turns if chat.kind == "chat" else _without_system(turns), thinking=think, tools=tools)
    else:
        ids = _in_turns(chat, turns, memory, think=think)
    if not given:
        return ChatPrompt(ids)
    return ChatPrompt([*ids, *Conversation(chat, thinking=think).beginning(given)], len(ids))


def _in_turns(chat: ChatRenderer, messages: Sequence[Said], memory: EpisodicMemory | None, *, think: bool) -> list[int]:
    """A system text if there is one, then user's and assistant's words in turn."""
    system = messages[0].words if messages[0].role == "system" else ""
    turns = [turn.words for turn in messages if turn.role != "system"]
    asked = turns[-1]
    if memory is not None:
        words = _BETWEEN.join([system, turns[0]]) if system else turns[0]
        if len(turns) == 1:
            return memory.prompt.question(words, think)
        turns, system = [_BETWEEN + words, *turns[1:]], ""
    conversation = Conversation(chat, system or None, thinking=think)
    ids = [] if memory is not None else conversation.opening()
    for user, answer in zip(turns[:-1:2], turns[1::2], strict=True):
        ids += conversation.turn(user, answer)
    return [*ids, *conversation.question(asked)]


def read_messages(messages: Sequence[Message]) -> list[Said]:
    """The messages as templates know them: developers are the system, and calls have numbers.

    Raises:
        APIError: one has no words, or has calls or an answer to one where there are none.
    """
    said, called = list[Said](), dict[str, ToolCall]()
    for place, message in enumerate(messages):
        where, calls = f"messages.{place}", message.tool_calls or []
        if message.content is None and not calls:
            raise APIError(400, f"{where}.content is missing, expected a text", f"{where}.content", "invalid_value")
        if calls and message.role != "assistant":
            raise APIError(400, f"{where}.tool_calls is of the assistant, found it of the {message.role}", where)
        if (message.role == "tool") != (message.tool_call_id is not None):
            raise APIError(400, f"{where}.tool_call_id goes with the role tool, and with no other", where)
        # clients' own ids are long, and some templates take nine digits alone
        numbered = {call.id: replace(call.to_call(), id=f"{len(called) + at:09d}") for at, call in enumerate(calls)}
        called |= numbered
        answered = called.get(message.tool_call_id or "")
        if message.role == "tool" and answered is None:
            raise APIError(400, f"{where}.tool_call_id answers no call before it", f"{where}.tool_call_id")
        role = "system" if message.role == "developer" else message.role
        answers = {"answers": answered.id, "tool": answered.name} if answered else {}
        said.append(Said(role, message.text, tuple(numbered.values()), **answers))
    return said


def _merged(messages: Sequence[Said]) -> list[Said]:
    """Those of one role that follow each other are one, apart from calls and their answers."""
    turns: list[Said] = []
    for message in messages:
        before = turns[-1] if turns else None
        if before and before.role == message.role != "tool" and not before.calls and not message.calls:
            turns[-1] = replace(before, words=before.words + _BETWEEN + message.words)
        else:
            turns.append(message)
    return turns


def _without_system(turns: Sequence[Said]) -> list[Said]:
    """With the system's words in the first message of the user, for templates that have no place for them.

    Raises:
        InputError: the system speaks later.
    """
    if any(turn.role == "system" for turn in turns[1:]):
        raise InputError(
            "the chat template has no place for a system message between others",
            hint="put it first, or write it into a message of the user",
        )
    if turns[0].role != "system":
        return list(turns)
    system, first, *rest = turns
    return [replace(first, words=system.words + _BETWEEN + first.words), *rest]


def _given(turns: Sequence[Said]) -> str:
    """The beginning of the answer."""
    last = turns[-1]
    if last.role != "assistant" or last.calls:
        whose = "has calls" if last.calls else f"is of the {last.role}"
        raise APIError(
            400, f"continue_final_message has no message of the assistant to write on, the last {whose}", "messages"
        )
    return last.words


def _check(turns: Sequence[Said], *, prefill: bool) -> None:
    roles = [turn.role for turn in turns if turn.role != "system"]
    if not roles or roles[0] != "user" or roles[-1] not in ("user", "tool"):
        ends = "and to end with a message of the user"
        advice = "" if prefill else " (continue_final_message: true writes on the assistant's)"
        raise APIError(400, f"expected the conversation to begin {ends}{advice}", "messages")
