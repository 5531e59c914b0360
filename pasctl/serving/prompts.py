"""From messages to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.chat import ChatRenderer
from pasctl.models.conversation import Conversation, rendered
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
    memory: EpisodicMemory | None,
    *,
    think: bool,
    prefill: bool = False,
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

    Raises:
        APIError: the conversation does not begin and end as it must.
        InputError: the model's template cannot render it.
    """
    turns = _merged(messages)
    given = _given(turns) if prefill else ""
    if prefill:
        turns = turns[:-1]
    _check(turns, prefill=prefill)
    later = any(role == "system" for role, _ in turns[1:])
    if later and memory is not None:
        raise APIError(400, "a system message stands behind others, expected it first with a memory", "messages")
    ids = rendered(chat, turns, thinking=think) if later else _in_turns(chat, turns, memory, think=think)
    if not given:
        return ChatPrompt(ids)
    return ChatPrompt([*ids, *Conversation(chat, thinking=think).beginning(given)], len(ids))


def _in_turns(
    chat: ChatRenderer, messages: Sequence[tuple[str, str]], memory: EpisodicMemory | None, *, think: bool
) -> list[int]:
    """A system text if there is one, then user's and assistant's words in turn."""
    system = messages[0][1] if messages[0][0] == "system" else ""
    turns = list(messages[1:] if messages[0][0] == "system" else messages)
    asked = turns[-1][1]
    if memory is not None:
        words = [_BETWEEN.join([system, turns[0][1]]) if system else turns[0][1]]
        if len(turns) == 1:
            return memory.prompt.question(words[0], think)
        turns, system = [("user", _BETWEEN + words[0]), *turns[1:]], ""
    conversation = Conversation(chat, system or None, thinking=think)
    ids = [] if memory is not None else conversation.opening()
    for (_, user), (_, answer) in zip(turns[:-1:2], turns[1::2], strict=True):
        ids += conversation.turn(user, answer)
    return [*ids, *conversation.question(asked)]


def _merged(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Role and words; those of one role that follow each other are one, and developers are the system."""
    turns: list[tuple[str, str]] = []
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        if turns and turns[-1][0] == role:
            turns[-1] = (role, turns[-1][1] + _BETWEEN + message.text)
        else:
            turns.append((role, message.text))
    return turns


def _given(turns: Sequence[tuple[str, str]]) -> str:
    """The beginning of the answer."""
    role, words = turns[-1]
    if role != "assistant":
        raise APIError(
            400,
            f"continue_final_message has no message of the assistant to write on, the last is of the {role}",
            "messages",
        )
    return words


def _check(turns: Sequence[tuple[str, str]], *, prefill: bool) -> None:
    roles = [role for role, _ in turns if role != "system"]
    if not roles or roles[0] != "user" or roles[-1] != "user":
        ends = "and to end with a message of the user"
        advice = "" if prefill else " (continue_final_message: true writes on the assistant's)"
        raise APIError(400, f"expected the conversation to begin {ends}{advice}", "messages")
