"""Head outputs averaged over texts that continue a prompt, the prompt run once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pasctl.activations.capture import capture
from pasctl.models.device import torch_dtype
from pasctl.models.kv_cache import SharedPrefix, behind, cache_behind
from pasctl.models.load import LoadedModel
from pasctl.models.sites import HEADS

Tokens = Sequence[int]


@torch.inference_mode()
def mean_head_outputs(
    model: LoadedModel, prompt: Tokens, texts: Sequence[Tokens], *, batch_tokens: int, kind: str = HEADS
) -> tuple[Tensor, int]:
    """Head outputs averaged over each text's own tokens, and the tokens that went through the model.

    Args:
        model: the loaded model; lm_head is not run.
        prompt: token ids that all texts follow; may be empty.
        texts: N sequences of token ids, none empty.
        batch_tokens: peak number of tokens in a batch; a longer text runs alone.
        kind: of the sites that are read.

    Returns:
        [N, L, H, D] in the model's dtype, on the CPU; and a count.
    """
    geometry, device = model.geometry.at(kind), model.device
    shape = (len(texts), geometry.layers, geometry.heads, geometry.head_dim)
    out, cache = torch.empty(shape, dtype=torch_dtype(model.dtype)), None
    if prompt:
        cache = cache_behind(model, len(prompt), None)
        model.backbone(torch.tensor([list(prompt)], device=device), **behind(model, cache))
    with capture(model, kind=kind, mean=True) as record:
        for rows in _of_one_length(texts, batch_tokens):
            ids = torch.tensor([list(texts[row]) for row in rows], device=device)
            past = None if cache is None else SharedPrefix(cache, len(rows))
            model.backbone(ids, **behind(model, past))
            out[rows] = record.take()
    return out, len(prompt) + sum(map(len, texts))


def _of_one_length(texts: Sequence[Tokens], batch_tokens: int) -> Iterator[list[int]]:
    """Places of texts of equal length, so that nothing is padded, as many as a batch holds."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        by_length[len(text)].append(place)
    for length, places in by_length.items():
        size = max(1, batch_tokens // length)
        yield from (places[start : start + size] for start in range(0, len(places), size))
