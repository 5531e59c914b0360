"""Run texts that continue a prompt, the prompt once: hidden states and head outputs at every token of a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from pasctl.activations.capture import capture
from pasctl.models.device import torch_dtype
from pasctl.models.kv_cache import PrefixCache
from pasctl.models.load import LoadedModel

Tokens = Sequence[int]
Consume = Callable[[list[int], Tensor], None]


@torch.inference_mode()
def run_continuations(
    model: LoadedModel, prompt: Tokens, texts: Sequence[Tokens], consume: Consume, *, batch_tokens: int
) -> int:
    """Push each text through the model as what follows the prompt; lm_head is not run.

    Args:
        model: the loaded model, steered or not.
        prompt: token ids that all texts follow; may be empty.
        texts: N sequences of token ids, none empty.
        consume: called with the places of some texts of one length T and their hidden states [n, 1 + T, hidden] after
            the final norm: at the prompt's last token and at each of the text. Without a prompt [n, T, hidden].
        batch_tokens: peak number of tokens in a batch; a longer text runs alone.

    Returns:
        tokens that went through the model.
    """
    device, cache, last = model.model.device, None, None
    if prompt:
        cache = DynamicCache(config=model.model.config)
        ids = torch.tensor([list(prompt)], device=device)
        last = model.backbone(ids, past_key_values=cache, use_cache=True).last_hidden_state[:, -1:]
    for rows in _buckets(texts, batch_tokens):
        ids = torch.tensor([list(texts[row]) for row in rows], device=device)
        past: Cache | None = None if cache is None else PrefixCache(cache, len(rows))
        hidden = model.backbone(ids, past_key_values=past, use_cache=past is not None).last_hidden_state
        consume(rows, hidden if last is None else torch.cat([last.expand(len(rows), -1, -1), hidden], dim=1))
    return len(prompt) + sum(map(len, texts))


def _buckets(texts: Sequence[Tokens], batch_tokens: int) -> Iterator[list[int]]:
    """Places of texts of equal length, so that nothing is padded, as many as a batch holds."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        by_length[len(text)].append(place)
    for length, places in by_length.items():
        size = max(1, batch_tokens // length)
        yield from (places[start : start + size] for start in range(0, len(places), size))


def mean_head_outputs(
    model: LoadedModel, prompt: Tokens, texts: Sequence[Tokens], *, batch_tokens: int
) -> tuple[Tensor, int]:
    """Head outputs averaged over each text's own tokens, [N, L, H, D] in the model's dtype, and the tokens run."""
    geometry = model.geometry
    shape = (len(texts), geometry.layers, geometry.heads, geometry.head_dim)
    out = torch.empty(shape, dtype=torch_dtype(model.dtype))
    with capture(model, mean=True) as record:

        def consume(rows: list[int], hidden: Tensor) -> None:
            out[rows] = record.take()

        tokens = run_continuations(model, prompt, texts, consume, batch_tokens=batch_tokens)
    return out, tokens
