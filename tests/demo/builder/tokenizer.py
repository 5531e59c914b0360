"""The demo model's tokenizer: byte-level BPE with ChatML and think tokens, and whole statements as single tokens.

A model this small cannot learn to read, so what it must tell apart are tokens: each statement of the inventory, its
form in the second person, the fixed parts of the questionnaire's prompts, and the words for traits. Any other text is
split into pieces and bytes as ever.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pasctl.inventory import Inventory, question
from pasctl.inventory.prompts import (
    ORDERS,
    second_person,
)
from pasctl.inventory.wording import ENGLISH
from pasctl.memory.tasks import passkey
from pasctl.memory.tasks.filler import repetitive, varied
from tests.demo.builder.world import TRAIT_WORDS

VOCABULARY = 1024
PAD, END = "<|endoftext|>", "<|im_end|>"
SPECIAL = (PAD, "<|im_start|>", END)
THINK = ("<think>", "</think>")

# Behaves as Qwen3's, written from its behaviour: thinking switched off is an empty think block; of earlier answers only
# what stands behind the thinking is shown, and the answer behind the last question is shown with a think block.
CHAT_TEMPLATE = """\
{%- set turns = namespace(asked=-1) -%}
{%- for message in messages if message.role == 'user' -%}
{%- set turns.asked = loop.index0 -%}
{%- endfor -%}
{%- set count = namespace(users=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set count.users = count.users + 1 -%}{%- endif -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- set parts = message.content.split('</think>') -%}
{%- set answer = parts[-1].lstrip('\\n') if parts | length > 1 else message.content -%}
{%- if count.users == turns.asked and loop.last -%}
{%- set thought = parts[0].split('<think>')[-1].strip('\\n') if parts | length > 1 else '' -%}
{{- '<think>\\n' + thought + '\\n</think>\\n\\n' -}}
{%- endif -%}
{{- answer -}}
{%- else -%}
{{- message.content -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}
"""


def train_tokenizer(inventory: Inventory, seed: int = 0) -> PreTrainedTokenizerFast:
    """The tokenizer of an inventory: at most VOCABULARY tokens; digits are tokens of their own."""
    fixed = fixed_texts(inventory)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(fixed) - len(THINK),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in (*THINK, *fixed)])
    make: Any = PreTrainedTokenizerFast
    fast: PreTrainedTokenizerFast = make(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def fixed_texts(inventory: Inventory) -> list[str]:
    """Texts that are one token each, cut from the project's own prompts so that they cannot drift apart from them."""
    items = [item.text for item in inventory.items]
    heads = [question(inventory.items[0], inventory, order).removesuffix(items[0]) for order in ORDERS]
    before, behind = ENGLISH.few_shot_line.split("{text}")
    lines = ["\n" + before, *(behind.format(label=label.lower()) for label in inventory.labels)]
    frames = [
        ENGLISH.few_shot_head,
        "\n" + ENGLISH.few_shot_tail,
        ENGLISH.few_shot_tail,
        ENGLISH.personality_head,
        "\n" + ENGLISH.personality_tail,
    ]
    degrees = [f"\n{opening} " for opening in ENGLISH.degrees]
    words = [f"You are {word}." for poles in TRAIT_WORDS.values() for pole in poles for word in pole]
    turns = ["system\n", "user\n", "assistant\n", "\n\n"]
    return list(dict.fromkeys([*turns, *heads, *lines, *frames, *degrees, *words, *items, *map(second_person, items)]))


def _corpus(seed: int) -> Iterator[str]:
    """What the BPE merges are learned from: filler, pass keys' sentences, and a few words of chat."""
    rng = random.Random(seed)
    yield from islice(varied(rng), 8000)
    for _ in range(200):
        yield from islice(repetitive(rng), 5)
        yield f"{passkey.OPENING}\n\nThe pass key is . Remember it. is the pass key.\n\n{passkey.QUESTION}"
        yield "system\nuser\nassistant\nA B C D E; You are."
