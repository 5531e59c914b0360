"""What does not fit a context is left out from the oldest turn on, and never without a word."""

from __future__ import annotations

import pytest

from pasctl.chat.history import Turns
from pasctl.chat.session import Session, Turn
from pasctl.errors import InputError
from pasctl.models.chat import ChatRenderer
from pasctl.models.conversation import Conversation
from tests.tiny import tiny_tokenizer

ANSWER = 20
TURNS = tuple(Turn(f"I worry about things. {n}" * (n % 3 + 1), f"Answer: {n}", "tiny") for n in range(9))


@pytest.mark.parametrize("context", [90, 150, 211, 300, 1000, None])
def test_the_last_turns_that_fit_are_kept_and_the_system_text_always(context: int | None) -> None:
    chat = ChatRenderer(tiny_tokenizer("qwen3"))
    turns = Turns(chat, thinking=False, context=context, answer=ANSWER)
    found = turns.prompt(Session(TURNS, system="You are quiet."), "Why?", "next")
    talk = Conversation(chat, "You are quiet.")

    def rendered(left_out: int) -> list[int]:
        kept = [token for turn in TURNS[left_out:] for token in talk.turn(turn.user, turn.answer)]
        return [*talk.opening(), *kept, *talk.question("Why?")]

    room = (context or 10**6) - ANSWER
    fitting = [count for count in range(len(TURNS) + 1) if len(rendered(count)) <= room]
    assert found.left_out == min(fitting)
    assert found.ids == rendered(found.left_out)
    assert found.memory is None


def test_a_message_that_does_not_fit_alone_is_refused() -> None:
    chat = ChatRenderer(tiny_tokenizer("qwen3"))
    turns = Turns(chat, thinking=False, context=60, answer=ANSWER)
    with pytest.raises(InputError, match=r"the message has \d+ tokens, and the model's context has room for \d+"):
        turns.prompt(Session(TURNS), "I worry about things. " * 9, "next")
