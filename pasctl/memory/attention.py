"""Attention over recalled keys and the local window in one softmax, and its place in transformers' registry.

The model is run with position ids of zero, which makes its own rotation the identity, and with an attention function
of ours that gets a `Recall` through the model's keyword arguments. No model class is patched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from pasctl.models.load import LoadedModel

IMPLEMENTATION = "pasctl_memory"
_SCORES_AT_ONCE = 1 << 24


class Recall(Protocol):
    """What a forward pass asks of memory."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: int | None
    ) -> Tensor:
        """Attention output [B, H, C, D] of unrotated query [B, H, C, D], key and value [B, G, C, D] of one layer."""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    memory_pass: Recall,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    layer: Any = module.layer_idx
    out = memory_pass.attend(int(layer), query, key, value, scaling, sliding_window)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(IMPLEMENTATION, _attention)


@contextmanager
def memory_attention(model: LoadedModel) -> Iterator[None]:
    """Let the model attend through memory while the block runs."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation(IMPLEMENTATION)
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def run_backbone(model: LoadedModel, ids: Tensor, recall: Recall) -> Tensor:
    """Last hidden states [B, C, hidden] of token ids int64 [B, C]; call within `memory_attention`."""
    ids = ids.to(model.device)
    out: Any = model.backbone(input_ids=ids, position_ids=torch.zeros_like(ids), use_cache=False, memory_pass=recall)
    hidden: Tensor = out.last_hidden_state
    return hidden


def joint_attention(
    far: tuple[Tensor, Tensor, Tensor, Tensor | None] | None,
    near: tuple[Tensor, Tensor, Tensor, Tensor],
    scaling: float,
) -> tuple[Tensor, Tensor]:
    """One exact softmax over two sets of keys, for which the queries may be rotated differently.

    Two matrix products write one score matrix; on a CPU this is as fast as scaled_dot_product_attention over keys
    of twice the width, and it gives the attention that each near key received, which memory needs.

    Args:
        far: query [B, H, C, D], key and value [B, G, M, D], and visible bool [B, M] (None: all).
        near: query [B, H, C, D], key and value [B, G, N, D], and visible bool [B or 1, C, N].
        scaling: of the scores.

    Returns:
        The output [B, H, C, D], and the attention each near key received, summed over queries and over the
        query heads of its group, float32 [B, G, N]; rows of queries that see no near key count nothing.
    """
    query, key, value, visible = near
    batch, heads, chunk, width = query.shape
    groups, count = key.shape[1], key.shape[2]
    share = heads // groups
    offset = 0 if far is None else far[1].shape[2]
    out = torch.empty_like(query)
    mass = torch.empty(batch, groups, count, device=query.device)
    counted = visible.any(-1)[:, None, :, None]
    each = max(1, min(groups, _SCORES_AT_ONCE // (batch * share * chunk * (offset + count))))
    for first in range(0, groups, each):
        kv = slice(first, min(first + each, groups))
        size, rows = kv.stop - first, slice(first * share, kv.stop * share)
        scores = query.new_empty(batch, size, share * chunk, offset + count)
        near_query = (query[:, rows] * scaling).reshape(batch, size, share * chunk, width)
        scores[..., offset:] = near_query @ key[:, kv].transpose(-1, -2)
        shaped = scores.view(batch, size, share, chunk, offset + count)
        lowest = torch.finfo(scores.dtype).min
        shaped[..., offset:].masked_fill_(~visible[:, None, None], lowest)
        values = value[:, kv]
        if far is not None:
            far_query = (far[0][:, rows] * scaling).reshape(batch, size, share * chunk, width)
            scores[..., :offset] = far_query @ far[1][:, kv].transpose(-1, -2)
            if far[3] is not None:
                scores[..., :offset].masked_fill_(~far[3][:, None, None], lowest)
            values = torch.cat([far[2][:, kv], values], dim=2)
        weights = scores.softmax(-1)
        out[:, rows] = (weights @ values).view(batch, size * share, chunk, width)
        near_weights = weights.view(batch, size, share, chunk, -1)[..., offset:]
        mass[:, kv] = (near_weights * counted[:, :, None]).sum((2, 3), dtype=torch.float32)
    return out, mass
