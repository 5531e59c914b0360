"""The bytes of tokens, joined, are the text's, whatever kind of tokenizer made them."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from pasctl.models.token_bytes import TokenBytes
from tests.tiny import tiny_tokenizer

TEXTS = ["I worry about things.", "Größe 🙂 naïve – 中文", "a", " two  spaces\n", "\u2581 \ufffd é"]
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def pieces() -> PreTrainedTokenizerFast:
    """A tokenizer as SentencePiece's: spaces are signs, the first word gets one, and rare characters are bytes."""
    words = [*NAMES.values(), *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["\u2581", *"Iworyabuthingsle.", "wo", "\u2581wo", "\u2581I", "\u2581a"]
    merges = [("w", "o"), ("\u2581", "wo"), ("\u2581", "I"), ("\u2581", "a")]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token=NAMES["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("tokenizer", [tiny_tokenizer(), pieces()], ids=["bytes", "pieces"])
def test_joined_they_are_the_text(tokenizer: Any, text: str) -> None:
    bytes_of, ids = TokenBytes(tokenizer), tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) > 0
    joined = b"".join([bytes_of.first(ids[0]), *map(bytes_of, ids[1:])])
    assert joined.decode() == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    if "\u2581" not in text:  # which is a space there
        assert joined.decode() == text


@pytest.mark.parametrize("tokenizer", [tiny_tokenizer(), pieces()], ids=["bytes", "pieces"])
def test_special_tokens_are_their_names(tokenizer: Any) -> None:
    bytes_of = TokenBytes(tokenizer)
    assert bytes_of(tokenizer.eos_token_id) == tokenizer.eos_token.encode()
    assert tokenizer.eos_token_id in bytes_of.special


def test_a_token_in_a_character_is_its_bytes() -> None:
    for tokenizer in (tiny_tokenizer(), pieces()):
        ids = tokenizer("🙂", add_special_tokens=False)["input_ids"][-4:]
        assert [TokenBytes(tokenizer)(token) for token in ids] == [bytes([byte]) for byte in "🙂".encode()]
