from __future__ import annotations

import pytest

from pasctl.inventory import few_shot, personality_prompt, question
from pasctl.memory.tasks import TASKS
from tests.demo.builder.tokenizer import VOCABULARY, fixed_texts
from tests.demo.builder.world import draw_people, inventory

TURNS = [
    {"role": "system", "content": "You are outgoing."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "<think>\nlong thought\n</think>\n\nHello"},
    {"role": "user", "content": "And?"},
]


def apply(writer, messages, **switches):
    return writer.chat.tokenizer.apply_chat_template(messages, tokenize=False, **switches)


def test_it_has_about_a_thousand_tokens_and_statements_are_one_each(writer):
    tokenizer = writer.chat.tokenizer
    assert len(tokenizer) <= VOCABULARY
    for text in fixed_texts(inventory()):
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1, text


@pytest.mark.parametrize("text", ["Grüße, 東京 <b>12345</b>\n\n\ttab", "I snap at people over small things. Twice."])
def test_any_text_survives(writer, text):
    tokenizer = writer.chat.tokenizer
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_digits_are_tokens_of_their_own(writer):
    tokenizer = writer.chat.tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("is 40213.", add_special_tokens=False)["input_ids"])[-6:] == [
        *"40213",
        ".",
    ]


def test_prompts_are_short(writer):
    asked, fit = inventory(), inventory().indices("fit")
    answers = draw_people(1, 1).agreements[0].astype(float)
    assert len(writer.chat.encode(question(asked.items[0], asked))) < 16
    for told in (few_shot, personality_prompt):
        assert len(writer.chat.encode(question(asked.items[0], asked), told(asked, answers, fit))) < 160


def test_the_template_behaves_as_qwen3s(writer):
    assert writer.chat.kind == "chat"
    assert writer.chat.thinking_switch
    off = apply(writer, TURNS, add_generation_prompt=True, enable_thinking=False)
    on = apply(writer, TURNS, add_generation_prompt=True)
    assert off == on + "<think>\n\n</think>\n\n"
    assert on == (
        "<|im_start|>system\nYou are outgoing.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_last_answer_is_shown_with_its_thinking(writer):
    whole = apply(writer, TURNS[:3])
    assert whole.endswith("<|im_start|>assistant\n<think>\nlong thought\n</think>\n\nHello<|im_end|>\n")
    plain = apply(writer, [*TURNS[:2], {"role": "assistant", "content": "Hello"}])
    assert plain.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\nHello<|im_end|>\n")


def test_no_answer_letter_merges_with_the_prompt(writer):
    assert len(set(writer.chat.letter_ids())) == 5


@pytest.mark.parametrize("task", ["passkey", "passkey-varied"])
def test_pass_keys_are_read_in_words_not_bytes(writer, task):
    trial = TASKS.get(task)(400, 0.5, 0, lambda text: len(writer.prompt.encode(text)))
    assert len(trial.text) / len(writer.prompt.encode(trial.text)) > 2.5
