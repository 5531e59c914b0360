"""What the next answer follows: the turns before it, or a text that was read into a memory with turns behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from pasctl.chat.session import Session, Turn
from pasctl.errors import InputError
from pasctl.models.conversation import Conversation
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_memory import read_steering

if TYPE_CHECKING:
    from pasctl.memory.episodic import EpisodicMemory
    from pasctl.models.chat import ChatRenderer
    from pasctl.steering.intervention import Intervention

_BETWEEN = "\n\n"
Asked = Literal["next", "again", "aside"]
"""A message that goes on, the last one once more, or one that leaves no trace."""


@dataclass(frozen=True)
class Prompted:
    """What a model is given for a message.

    Attributes:
        ids: token ids.
        memory: what they stand behind; None if they are all.
        left_out: turns that are not among them.
    """

    ids: list[int]
    memory: EpisodicMemory | None = None
    left_out: int = 0


class History(Protocol):
    """What the next answer follows."""

    @property
    def name(self) -> str | None:
        """The memory, as it is called in a transcript; None if there is none."""

    def prompt(self, session: Session, user: str, asked: Asked) -> Prompted:
        """What the model is given for a message behind the session's turns, which do not hold the message.

        Raises:
            InputError: there is no room for the message.
        """


class Turns:
    """The turns alone, the last ones that the model's context holds."""

    name = None

    def __init__(self, chat: ChatRenderer, *, thinking: bool, context: int | None, answer: int) -> None:
        """Prepare prompts.

        Args:
            chat: renders the model's template.
            thinking: leave the model to think before it answers.
            context: tokens that the model's positions were made for; None sets no limit.
            answer: tokens that an answer may have.
        """
        self._chat, self._thinking = chat, thinking
        self._room = None if context is None else context - answer

    def prompt(self, session: Session, user: str, asked: Asked) -> Prompted:
        """The system text, the turns that there is room for, and the message."""
        talk = Conversation(self._chat, session.system, thinking=self._thinking)
        ids, left_out = fitted(
            talk, session.turns, user, room=self._room, whose="the model's context", opening=talk.opening()
        )
        return Prompted(ids, left_out=left_out)


class TextMemory:
    """Turns behind a text that was read into a memory.

    The text stands in the first user's turn, before the first user's words; a system text stands between them, since
    nothing can be put before a text that was read.
    """

    def __init__(self, artifact: Artifact, memory: EpisodicMemory, chat: ChatRenderer, *, thinking: bool) -> None:
        self.name, self._memory = artifact.name, memory
        self._talk = Conversation(chat, thinking=thinking)

    def prompt(self, session: Session, user: str, asked: Asked) -> Prompted:
        """The system text, the turns that the memory's window has room for, and the message, however long it is."""
        between = (f"{_BETWEEN}{session.system}" if session.system else "") + _BETWEEN
        room = self._memory.params.n_local
        ids, left_out = fitted(self._talk, session.turns, user, room=room, between=between)
        return Prompted(ids, self._memory, left_out)


def fitted(
    talk: Conversation,
    turns: Sequence[Turn],
    user: str,
    *,
    room: int | None,
    whose: str | None = None,
    opening: Sequence[int] = (),
    between: str = "",
) -> tuple[list[int], int]:
    """Token ids of the last turns that there is room for and of a message, and how many turns are left out.

    Args:
        talk: renders them.
        turns: that could stand before the message.
        user: the message.
        room: tokens that there may be; None sets no limit.
        whose: what has this room, for errors; None lets a message alone be longer.
        opening: token ids before all.
        between: words before those of the first user.

    Raises:
        InputError: even the message alone has no room.
    """
    for left_out in range(_least_left_out(talk, turns, room), len(turns) + 1):
        ids, before = list(opening), between
        for turn in turns[left_out:]:
            ids += talk.turn(before + turn.user, turn.answer)
            before = ""
        ids += talk.question(before + user)
        if room is None or len(ids) <= room or (whose is None and left_out == len(turns)):
            return ids, left_out
    message = len(talk.question(user))
    raise InputError(
        f"the message has {message} tokens, and {whose} has room for {max(0, message + (room or 0) - len(ids))} beside "
        "the system text and the answer",
        hint="--memory NAME takes messages of any length; a smaller --max-new-tokens leaves more room",
    )


def _least_left_out(talk: Conversation, turns: Sequence[Turn], room: int | None) -> int:
    """Turns that there is no room for even without anything else."""
    left = room
    for number in range(len(turns), 0, -1):
        if left is not None:
            left -= len(talk.turn(turns[number - 1].user, turns[number - 1].answer))
            if left < 0:
                return number
    return 0


def require_steering(memory: Artifact, wanted: Intervention | None) -> None:
    """Refuse to ask a memory that was read steered with another steering.

    A memory that was read unsteered can be asked with any: only the answer is steered then.

    Raises:
        InputError: the memory was read with another steering.
    """
    read = read_steering(memory)
    if read is None or (wanted is not None and _same(read, wanted)):
        return
    told = memory.params.get("steering")
    who = f"{told['persona']} at alpha {told['alpha']:g}" if isinstance(told, dict) else "a steering of its own"
    raise InputError(
        f"{memory.name} was read steered to {who}, it answers with nothing else",
        hint=f"/persona {told['persona']} and /alpha {told['alpha']:g} first, along the same directions"
        if isinstance(told, dict)
        else None,
    )


def _same(one: Intervention, other: Intervention) -> bool:
    layers = one.displacements.keys()
    return layers == other.displacements.keys() and all(
        torch.equal(one.displacements[layer], other.displacements[layer]) for layer in layers
    )
