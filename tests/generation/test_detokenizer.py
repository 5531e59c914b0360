"""IncrementalDetokenizer of a growing text: joined they are the text, and none is cut where it must not be."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from pasctl.generation.detokenizer import IncrementalDetokenizer
from tests.tiny import VOCAB, tiny_tokenizer

WORDS = " eins 🙂 zwei\n生きる  drei, Wörter.  \n"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny_tokenizer()


def grown(
    tokenizer: PreTrainedTokenizerFast, ids: list[int], **how: object
) -> tuple[IncrementalDetokenizer, list[str]]:
    text, pieces = IncrementalDetokenizer(tokenizer, **how), []  # type: ignore[arg-type]
    for token in ids:
        pieces.append(text.add(token))
        if text.stopped:
            return text, pieces
    return text, [*pieces, text.finish()]


@pytest.mark.parametrize("seed", range(30))
def test_pieces_joined_are_what_the_tokens_decode_to(tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Random tokens, most of which are no whole characters, and special ones among them."""
    ids = torch.randint(VOCAB - 12, (60,), generator=torch.Generator().manual_seed(seed)).tolist()
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    for strip in (False, True):
        text, pieces = grown(tokenizer, ids, strip=strip)
        assert "".join(pieces) == text.text == (whole.strip() if strip else whole)
        assert sum(map(bool, pieces)) > 5


def test_no_piece_ends_in_half_of_a_character(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer(WORDS)["input_ids"]
    assert len(ids) > 20
    _, pieces = grown(tokenizer, ids)
    assert "".join(pieces) == WORDS
    assert not any("\ufffd" in piece for piece in pieces)
    half = tokenizer("🙂")["input_ids"][:-1]
    text, pieces = grown(tokenizer, [*ids, *half])
    assert pieces[-1] == "\ufffd"
    assert text.text == tokenizer.decode([*ids, *half])


@pytest.mark.parametrize("stop", ["drei", "🙂", "zwei\n生", "ei", "\n", ".  \n", "er.", " "])
def test_a_text_ends_before_the_first_stop_string(tokenizer: PreTrainedTokenizerFast, stop: str) -> None:
    ids = tokenizer(WORDS)["input_ids"]
    text, pieces = grown(tokenizer, ids, stop=("never", stop, "ABC"))
    assert text.stopped
    assert "".join(pieces) == text.text == WORDS[: WORDS.index(stop)]


def test_what_begins_like_a_stop_string_is_held_back_until_it_is_none(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = [token for letter in "xababaabc!" for token in tokenizer(letter)["input_ids"]]
    text, pieces = grown(tokenizer, ids, stop=("ababc",))
    assert (text.stopped, text.text) == (False, "xababaabc!")
    shown = [len("".join(pieces[: n + 1])) for n in range(len(ids))]
    # of "xabab", "xababa" no more may be told than what cannot be the beginning of "ababc"
    assert shown[:6] == [1, 1, 1, 1, 1, 3]


def test_a_token_costs_the_same_however_long_the_text_is(tokenizer: PreTrainedTokenizerFast) -> None:
    decoded: list[int] = []

    class Counting:
        def decode(self, ids: list[int], **how: bool) -> str:
            decoded.append(len(ids))
            return str(tokenizer.decode(ids, **how))

    ids = tokenizer(WORDS * 40)["input_ids"]
    text = IncrementalDetokenizer(Counting())
    for token in ids:
        text.add(token)
    assert max(decoded) <= 16
