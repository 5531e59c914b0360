"""What steering does where personality is not asked for: to the prediction of neutral text, and to free text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.errors import InputError
from pasctl.models.footprint import text_rows
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention

Floats = NDArray[np.float64]

FREE_PROMPTS = (
    "Tell me how your last weekend went.",
    "Describe a town that you would like to visit, and what you would do there.",
    "Write a short story about a lost key.",
    "What makes a good meal?",
)
"""User turns that free text is written for; none asks about personality."""

_LOGITS_AT_ONCE = 1 << 23  # of one text: 32 MiB, and still many positions for each time that lm_head is read


@dataclass(frozen=True, eq=False)
class Unsteered:
    """A text as the model reads it without steering, computed once and compared with often.

    Attributes:
        ids: the T tokens of the text.
        hidden: [T, hidden] in the model's dtype, last hidden states; logits [T, vocabulary] would be too large to keep.
        perplexity: of the text.
    """

    ids: tuple[int, ...]
    hidden: Tensor
    perplexity: float


@dataclass(frozen=True, eq=False)
class SideEffects:
    """What R interventions do to a text.

    Attributes:
        kl: float64 [R], mean over the text's positions of KL(unsteered || steered) of the next token, in nats.
        perplexity: float64 [R], of the text: exp of the mean of -log p(next token).
    """

    kl: Floats
    perplexity: Floats


def text_tokens(model: LoadedModel, text: str, limit: int) -> list[int]:
    """The first `limit` tokens of a plain text, with the token that the model's texts begin with, if they do.

    Raises:
        InputError: the text has fewer than two tokens, so none is predicted.
    """
    encoded = model.tokenizer(text, return_special_tokens_mask=True, split_special_tokens=True, verbose=False)
    ids, special = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    while special and special[-1]:  # some tokenizers put an end token behind every text
        ids.pop()
        special.pop()
    ids = [int(token) for token in ids[:limit]]
    _require_two(ids)
    return ids


@torch.inference_mode()
def read_unsteered(model: LoadedModel, ids: Sequence[int], *, tile: int | None = None) -> Unsteered:
    """Read a text without steering.

    Args:
        model: the loaded model.
        ids: tokens of the text, at least two.
        tile: positions whose logits are held at once; None takes as many as suit the vocabulary.

    Raises:
        InputError: fewer than two tokens, or logits that are not finite.
    """
    _require_two(ids)
    hidden = model.backbone(torch.tensor([list(ids)], device=model.device), use_cache=False).last_hidden_state[0]
    nll = np.zeros(1)
    for start, stop in _tiles(model, len(ids), tile):
        nll += _nll(model.logits(hidden[start:stop]).log_softmax(-1), ids[start + 1 : stop + 1])
    return Unsteered(tuple(ids), hidden, float(_perplexity(nll, len(ids))[0]))


@torch.inference_mode()
def measure(
    model: LoadedModel,
    unsteered: Unsteered,
    interventions: Sequence[Intervention | None],
    *,
    batch_tokens: int,
    tile: int | None = None,
) -> SideEffects:
    """What each intervention does to the prediction of a text.

    Every position is steered, also for steering that begins at an answer: a text has no answer in it, and such steering
    goes on at every token that is written, so a text that a steered model continues is met by it everywhere.

    Args:
        model: the loaded model.
        unsteered: the text, from `read_unsteered` with the same model.
        interventions: each of one row; None changes nothing, so its kl is 0.
        batch_tokens: bound on the tokens of a forward pass; a longer text runs alone.
        tile: positions whose logits are held at once; None takes as many as suit the vocabulary.

    Raises:
        InputError: logits that are not finite.
    """
    ids, count = unsteered.ids, len(unsteered.ids)
    kl = np.zeros(len(interventions))
    perplexity = np.full(len(interventions), unsteered.perplexity)
    steered = [row for row, intervention in enumerate(interventions) if intervention is not None]
    size = text_rows(model.footprint, count, batch_tokens)
    for rows in (steered[start : start + size] for start in range(0, len(steered), size)):
        given = torch.tensor([list(ids)] * len(rows), device=model.device)
        with steer(model, Intervention.stack([interventions[row] for row in rows])):
            hidden = model.backbone(given, use_cache=False).last_hidden_state
        nll = np.zeros(len(rows))
        for start, stop in _tiles(model, count, tile):
            reference = model.logits(unsteered.hidden[start:stop]).log_softmax(-1)
            for place, row in enumerate(rows):
                found = model.logits(hidden[place, start:stop]).log_softmax(-1)
                kl[row] += _divergence(reference, found)
                nll[place] += _nll(found, ids[start + 1 : stop + 1])
        kl[rows] /= count
        _require_finite(kl[rows])
        perplexity[rows] = _perplexity(nll, count)
    return SideEffects(kl, perplexity)


def repetition(tokens: Sequence[int], n: int = 4) -> float | None:
    """Share of a text's n-grams that occurred in it before: 1 - distinct / all; None if it is shorter than n."""
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def _tiles(model: LoadedModel, count: int, tile: int | None) -> list[tuple[int, int]]:
    size = max(1, _LOGITS_AT_ONCE // model.vocabulary) if tile is None else tile
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _divergence(reference: Tensor, found: Tensor) -> float:
    """Sum over positions of KL(reference || found), from log-probabilities [n, vocabulary]."""
    each = torch.nn.functional.kl_div(found, reference, reduction="none", log_target=True).sum(-1)
    # float32 rounds a divergence near 0 to either side of it; the sum is Python's, since not all devices have float64
    return float(sum(each.clamp(min=0).tolist()))


def _nll(logprobs: Tensor, targets: Sequence[int]) -> float:
    """Sum of -log p(target); logprobs [n, vocabulary] have one position more than targets at the end of a text."""
    places = torch.tensor(list(targets), dtype=torch.int64, device=logprobs.device)[:, None]
    return -float(sum(logprobs[: len(targets)].gather(-1, places)[:, 0].tolist()))


def _perplexity(nll: Floats, count: int) -> Floats:
    """Exp of the mean over the count - 1 tokens that are predicted, from sums of their -log p [R]."""
    _require_finite(nll)
    perplexity: Floats = np.exp(nll / (count - 1))
    return perplexity


def _require_finite(values: Floats) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            "the log-probabilities of the neutral text are not finite numbers",
            hint="the model's logits overflowed: try --dtype float32 or a smaller alpha",
        )


def _require_two(ids: Sequence[int]) -> None:
    if len(ids) < 2:
        raise InputError(f"the neutral text has {len(ids)} tokens, expected at least 2", hint="give a longer text")
