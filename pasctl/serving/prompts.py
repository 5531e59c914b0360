"""From messages to token ids."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.chat import ChatRenderer
from pasctl.models.conversation import Conversation
from pasctl.serving.api_error import APIError
from pasctl.serving.protocol import Message

_BETWEEN = "\n\n"


def chat_prompt(
    chat: ChatRenderer, messages: Sequence[Message], memory: EpisodicMemory | None, *, think: bool
) -> list[int]:
    """Token ids of a conversation, up to where the answer begins.

    With a memory, its text stands in the first user's turn, before the first user's words; a system text stands between
    them, since nothing can be put before a text that was read. Messages of one role that follow each other are one.

    Raises:
        APIError: the conversation does not begin and end with the user.
        InputError: the model's template cannot render it.
    """
    system, turns = _sort(messages)
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


def _sort(messages: Sequence[Message]) -> tuple[str, list[tuple[str, str]]]:
    """The system text, and user's and assistant's words in turn."""
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for place, message in enumerate(messages):
        if message.role in ("system", "developer"):
            if turns:
                raise APIError(
                    400, "a system message stands behind others, expected it first", f"messages.{place}.role"
                )
            system.append(message.text)
        elif turns and turns[-1][0] == message.role:
            turns[-1] = (message.role, turns[-1][1] + _BETWEEN + message.text)
        else:
            turns.append((message.role, message.text))
    if not turns or turns[0][0] != "user" or turns[-1][0] != "user":
        raise APIError(400, "expected the conversation to begin and to end with a message of the user", "messages")
    return _BETWEEN.join(system), turns
