"""The reader's tokenizer: words of the memory tasks are one token each, made-up words are syllables.

A unigram model with scores of our own: a word of the tasks is one token; what is made up is split into syllables (a
consonant and a vowel), capital letters and digits, always in the same way, with the space before it a token of its own.
Anything else is split into bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.filler import REFRAIN, TEMPLATES, WORDS
from pasctl.memory.tasks.words import ADJECTIVES, NOUNS

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message.role + '|>' + message.content + '<|end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
READ = (
    *("passkey", "passkey-varied", "niah-single-2", "niah-multikey-1", "niah-multikey-2", "niah-multivalue"),
    *("keyvalue", "tracking", "update", "state", "scenes"),
)
"""The tasks whose words the reader knows."""
# A word is worth more than the syllables it might be made of, a single byte less than either.
_SYLLABLE, _SPACE, _WORD, _BYTE = -1.0, -1.0, -2.5, -8.0
_PIECES = re.compile(r"\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\s+(?!\S)|\s+")
_SAMPLES, _LENGTH, _OFTEN = 8, 400, 3


def train_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; nothing about it is random."""
    scores = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()), _BYTE)
    scores["Ġ"] = _SPACE
    scores |= {word: _WORD for word in _words() if word not in scores}
    for vowel in "aeiou":
        for consonant in "bcdfghjklmnprstvz":
            scores[consonant + vowel] = scores[consonant.upper() + vowel] = _SYLLABLE
    tokenizer = Tokenizer(models.Unigram(sorted(scores.items()), unk_id=None, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in (PAD, USER, ASSISTANT, END)])
    make: Any = PreTrainedTokenizerFast
    fast: PreTrainedTokenizerFast = make(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def pieces(text: str) -> list[str]:
    """A text in the pieces that are encoded each by itself."""
    return _PIECES.findall(text)


class Encoder:
    """Encodes texts piece by piece, each different piece once; equal to the tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        @cache
        def one(piece: str) -> tuple[int, ...]:
            return tuple(tokenizer(piece, add_special_tokens=False)["input_ids"])

        self._one = one

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return sum(len(self._one(piece)) for piece in pieces(text))

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids, and the character that the piece of each begins at."""
        ids: list[int] = []
        starts: list[int] = []
        place = 0
        for piece in pieces(text):
            own = self._one(piece)
            ids += own
            starts += [place] * len(own)
            place += len(piece)
        return ids, starts


def _words() -> list[str]:
    """Pieces of the tasks' texts that are no digit and come up in several of them, as the byte-level model has them."""
    counts = Counter(piece for text in _texts() for piece in set(pieces(text)))
    often = {piece for piece, count in counts.items() if count >= _OFTEN and not piece.strip().isdigit()}
    capitals = re.compile(r" ?[A-Z]{2,}")
    return [
        piece.replace(" ", "Ġ").replace("\n", "Ċ")
        for piece in sorted(often)
        if piece.strip(" ") and (not capitals.fullmatch(piece) or piece.strip() == "VAR")
    ]


def _texts() -> Iterable[str]:
    for task in READ:
        make = TASKS.get(task)
        for seed in range(_SAMPLES):
            trial = make(_LENGTH, 0.5, seed, lambda text: len(pieces(text)))
            yield trial.text
            yield f"\n\n{trial.question}"
    for words in (*WORDS.values(), REFRAIN, TEMPLATES, [f"{a}-{n}" for a in ADJECTIVES for n in NOUNS]):
        for word in words:
            plain = re.sub(r"\{\w+\}", "", word)
            capital = plain[:1].upper() + plain[1:]
            yield from [f". {plain}", f". {capital}"] * _OFTEN
            yield from [capital] * _OFTEN
