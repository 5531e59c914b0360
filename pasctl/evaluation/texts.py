"""What the unsteered model thinks of texts: their log-probability, alone and after descriptions of who writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache, DynamicCache

from pasctl.errors import InputError
from pasctl.models.footprint import text_rows
from pasctl.models.kv_cache import SharedPrefix, behind
from pasctl.models.load import LoadedModel

Floats = NDArray[np.float64]

LEAST_SHARED = 8
"""Tokens in common from which on computing them once pays."""
_LOGITS_AT_ONCE = 1 << 23  # numbers: 32 MiB in float32


@dataclass(frozen=True)
class WrittenText:
    """A reply: what the user said, and the reply's tokens without the one that ended it."""

    prompt: str
    ids: tuple[int, ...]


@dataclass(eq=False)
class Reader:
    """The unsteered model that reads texts.

    Attributes:
        model: the loaded model; nothing may steer it while it reads.
        batch_tokens: peak number of tokens in a forward pass.
        counts: tokens_asked and tokens_run so far.
    """

    model: LoadedModel
    batch_tokens: int = 4096
    counts: Counter[str] = field(default_factory=Counter)


def text_logprobs(reader: Reader, texts: Sequence[WrittenText], system: str | None = None) -> Floats:
    """Log p(text | system, prompt) of each text under the unsteered model, summed over its tokens, in nats [N].

    All prompts begin with the system text and are as far as they agree computed once. 0 for a text without tokens.

    Raises:
        InputError: a log-probability is not finite.
    """
    prompts = {text.prompt: tuple(reader.model.chat.encode(text.prompt, system)) for text in texts}
    rows = [(prompts[text.prompt], text.ids) for text in texts]
    out = np.zeros(len(rows))
    for places, logprobs in _read(reader, rows):
        out[places] = logprobs
    if not np.isfinite(out).all():
        raise InputError(
            "the log-probabilities of written texts are not finite numbers",
            hint="the model's logits overflowed: try --dtype float32",
        )
    return out


def per_token(logprobs: Floats, texts: Sequence[WrittenText]) -> Floats:
    """Sums over texts as means over their tokens; NaN for a text without tokens."""
    lengths = np.array([len(text.ids) for text in texts], dtype=np.float64)
    return np.where(lengths > 0, logprobs / np.maximum(lengths, 1), np.nan)


def perplexities(reader: Reader, texts: Sequence[WrittenText]) -> Floats:
    """Perplexity of each text after its prompt, without a system text; NaN for a text without tokens."""
    perplexity: Floats = np.exp(-per_token(text_logprobs(reader, texts), texts))
    return perplexity


def log_odds(
    reader: Reader, texts: Sequence[WrittenText], judges: Sequence[tuple[str, str]], *, by_token: bool = True
) -> Floats:
    """How much better the description + explains each text than the description -, mean over judges, in nats.

        mean over judges of log p(text | d+, prompt) - log p(text | d-, prompt)

    Args:
        reader: the unsteered model.
        texts: N texts.
        judges: pairs of system texts (+, -); none may be one that directions were fitted on.
        by_token: divide by the text's tokens: a longer text is not surer for its length, and texts end where the
            budget of tokens does.

    Returns:
        float64 [N]; NaN for a text without tokens.
    """
    if not judges:
        raise InputError("log-odds need at least one pair of descriptions, found none")
    odds = np.zeros(len(texts))
    for plus, minus in judges:
        odds += text_logprobs(reader, texts, plus) - text_logprobs(reader, texts, minus)
    odds /= len(judges)
    empty = np.array([not text.ids for text in texts])
    return per_token(odds, texts) if by_token else np.where(empty, np.nan, odds)


Row = tuple[tuple[int, ...], tuple[int, ...]]
"""The tokens of a prompt, and those of the text after it."""


@torch.inference_mode()
def _read(reader: Reader, rows: Sequence[Row]) -> Iterator[tuple[list[int], list[float]]]:
    """Places of some rows, and the log-probability of each one's text."""
    filled = [place for place, (_, text) in enumerate(rows) if text]
    if not filled:
        return
    shared = _shared([rows[place][0] for place in filled])
    reader.counts["tokens_asked"] += sum(len(rows[place][0]) + len(rows[place][1]) for place in filled)
    cache = _read_prefix(reader, rows[filled[0]][0][:shared]) if shared else None
    for places in _batches(reader, rows, filled, shared):
        hidden = _hidden(reader, [rows[place] for place in places], shared, cache)
        yield (
            places,
            [
                _sum_logprob(reader.model, hidden[row, len(prompt) - shared - 1 :][: len(text)], text)
                for row, (prompt, text) in enumerate(rows[place] for place in places)
            ],
        )


def _shared(prompts: Sequence[tuple[int, ...]]) -> int:
    """Tokens that all prompts begin with, leaving each its last one; 0 where too few to pay."""
    first, last = min(prompts), max(prompts)
    common = next((n for n, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    common = min(common, min(map(len, prompts)) - 1)
    return common if len(prompts) > 1 and common >= LEAST_SHARED else 0


def _read_prefix(reader: Reader, ids: Sequence[int]) -> Cache:
    """Keys and values of tokens that all rows begin with."""
    model, cache = reader.model, DynamicCache(config=reader.model.model.config)
    model.backbone(torch.tensor([list(ids)], device=model.device), **behind(model, cache))
    reader.counts["tokens_run"] += len(ids)
    return cache


def _batches(reader: Reader, rows: Sequence[Row], places: Sequence[int], shared: int) -> Iterator[list[int]]:
    """Rows of nearly the same length together, as many as a pass takes; padding counts."""

    def tokens(place: int) -> int:
        return sum(map(len, rows[place]))

    ordered, start = sorted(places, key=tokens, reverse=True), 0
    while start < len(ordered):
        size = text_rows(reader.model.footprint, tokens(ordered[start]), reader.batch_tokens)
        yield ordered[start : start + size]
        start += size


def _hidden(reader: Reader, rows: Sequence[Row], shared: int, cache: Cache | None) -> Tensor:
    """Last hidden states [rows, T, hidden] of all tokens but the shared ones.

    Rows are padded on the right, where no token before sees it.
    """
    model = reader.model
    sequences = [(*prompt[shared:], *text) for prompt, text in rows]
    width = max(map(len, sequences))
    ids = torch.tensor([[*each, *([0] * (width - len(each)))] for each in sequences], device=model.device)
    past = None if cache is None else SharedPrefix(cache, len(rows))
    reader.counts["tokens_run"] += ids.numel()
    output = model.backbone(ids, **behind(model, past))
    hidden: Tensor = output.last_hidden_state
    return hidden


def _sum_logprob(model: LoadedModel, hidden: Tensor, text: Sequence[int]) -> float:
    """Sum of log p(token) over a text, from the hidden states [T, hidden] that each of its tokens follows."""
    size, total = max(1, _LOGITS_AT_ONCE // model.vocabulary), 0.0
    for start in range(0, len(text), size):
        logprobs = model.logits(hidden[start : start + size]).log_softmax(-1)
        targets = torch.tensor(list(text[start : start + size]), device=logprobs.device)[:, None]
        total += float(sum(logprobs.gather(-1, targets)[:, 0].tolist()))
    return total
