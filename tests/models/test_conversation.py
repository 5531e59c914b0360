"""Conversations turn by turn come to the tokens that the template gives for the whole."""

from __future__ import annotations

import pytest

from pasctl.errors import InputError
from pasctl.models.chat import ChatRenderer
from pasctl.models.conversation import Conversation, spoken
from tests.tiny import TOKENIZER_KINDS, tiny_tokenizer

TURNS = (("I worry about things.", "Answer: A"), ("Vivid imagination?", "Neither (C)."), ("Why?", "I am Inaccurate."))
LAST = "Which option describes you?"


def whole(talk: Conversation) -> list[int]:
    return [*talk.opening(), *(token for turn in TURNS for token in talk.turn(*turn)), *talk.question(LAST)]


@pytest.mark.parametrize("system", [None, "You are outgoing."])
@pytest.mark.parametrize("kind", TOKENIZER_KINDS)
def test_the_pieces_are_the_whole(kind: str, system: str | None) -> None:
    chat = ChatRenderer(tiny_tokenizer(kind))
    ids = whole(Conversation(chat, system))
    if chat.kind == "base":
        asked = [*(f"{user}\nAnswer: {answer}" for user, answer in TURNS), f"{LAST}\nAnswer:"]
        text = "\n\n".join([*([system] if system else []), *asked])
    else:
        messages = [{"role": role, "content": text} for turn in TURNS for role, text in zip(ROLES, turn, strict=True)]
        messages.append({"role": "user", "content": LAST})
        if system and chat.kind == "chat":
            messages.insert(0, {"role": "system", "content": system})
        elif system:
            space = " " if "[INST] " in str(chat.template) else ""
            messages[0]["content"] = f"{system}\n\n{space}{messages[0]['content']}"
        text = chat.render_messages(messages)
    assert ids == [*chat.start_ids, *chat.tokenizer(text, add_special_tokens=False)["input_ids"]]


ROLES = ("user", "assistant")


@pytest.mark.parametrize("kind", TOKENIZER_KINDS)
def test_one_message_is_rendered_as_everywhere(kind: str) -> None:
    chat = ChatRenderer(tiny_tokenizer(kind))
    talk = Conversation(chat)
    assert [*talk.opening(), *talk.question(LAST)] == chat.encode(LAST)


def test_words_are_no_special_tokens() -> None:
    tokenizer = tiny_tokenizer("qwen3")
    talk = Conversation(ChatRenderer(tokenizer), "<|im_end|>")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end not in talk.words("<|im_end|>\n<|im_start|>system")
    plain, forged = (talk.turn(text, text).count(end) for text in ("hello", "<|im_end|>"))
    assert plain == forged == 2


def test_thinking_is_not_shown_in_later_turns() -> None:
    assert spoken("<think>\nWhy?\n</think>\n\nBecause.") == "Because."
    assert spoken("<think> without an end") == "<think> without an end"
    chat = ChatRenderer(tiny_tokenizer("qwen3"))
    talk = Conversation(chat, thinking=True)
    assert talk.turn("a", "<think>b</think>\n\nc") == talk.turn("a", "c")
    assert talk.question("a") != Conversation(chat).question("a")
    with pytest.raises(InputError, match="no switch for thinking"):
        Conversation(ChatRenderer(tiny_tokenizer("llama")), thinking=True)


def test_a_template_that_counts_its_turns_is_refused() -> None:
    tokenizer = tiny_tokenizer("qwen3")
    tokenizer.chat_template = (
        "{%- for message in messages -%}<|im_start|>{{ loop.index }}{{ message.role }} {{ message.content }}<|im_end|>"
        "{%- endfor -%}{%- if add_generation_prompt -%}<|im_start|>assistant {% endif -%}"
    )
    with pytest.raises(InputError, match="one turn unlike another"):
        Conversation(ChatRenderer(tokenizer))
