"""A tokenizer's pattern that runs without end is refused in one line, in time."""

from __future__ import annotations

import time

import pytest
from tokenizers import Regex, normalizers, pre_tokenizers

from pasctl.errors import InputError
from pasctl.models import guard, pattern_guard
from pasctl.models.chat import ChatRenderer
from pasctl.models.pattern_guard import is_flat
from tests.tiny import tiny_tokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BAD = [r"(a+)+$", r"(.*)*b(.*)*c(.*)*d", r"(?:a|a)*$", r"a*a*a*a*a*a*a*[^a-z!]", r"(\w+\s?)*\d$"]


@pytest.mark.parametrize("pattern", BAD)
def test_a_pattern_that_runs_without_end_is_refused(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 2)
    tokenizer = tiny_tokenizer()
    backend = tokenizer.backend_tokenizer
    if pattern == BAD[0]:
        backend.normalizer = normalizers.Sequence([normalizers.Replace(Regex(pattern), "")])
    else:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, backend.pre_tokenizer])
    began = time.monotonic()
    with pytest.raises(InputError, match="the tokenizer's pattern") as refused:
        ChatRenderer(tokenizer)
    assert time.monotonic() - began < 30
    assert "\n" not in str(refused.value)


def test_usual_patterns_are_flat_and_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_guard, "_try", None)
    for pattern in (GPT2, QWEN, QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|"), r"[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-ö]+"):
        tokenizer = tiny_tokenizer()
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split])
        assert is_flat(pattern)
        pattern_guard.check_patterns(tokenizer)


def test_a_harmless_pattern_that_repeats_a_group_passes() -> None:
    tokenizer, pattern = tiny_tokenizer(), r"(?:ab)+|\d{1,3}(?=(?:\d{3})*\b)"
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    assert not is_flat(pattern)
    pattern_guard.check_patterns(tokenizer)


def test_a_text_that_the_engine_gives_up_is_an_error_of_one_line() -> None:
    chat = ChatRenderer(tiny_tokenizer())
    backend = chat.tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(BAD[0]), "isolated")
    with pytest.raises(InputError, match="gives up a text of 41 characters") as refused:
        chat.encode_start("a" * 40 + "b")
    assert "\n" not in str(refused.value)
