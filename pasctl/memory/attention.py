"""Attention over recalled keys and the local window in one softmax, and its place in transformers' registry.

The model is run with position ids of zero, which makes its own rotation the identity, and with an attention function
of ours that gets a `Recall` through the model's keyword arguments. No model class is patched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from pasctl.models.load import LoadedModel

IMPLEMENTATION = "pasctl_memory"
# a CPU is twice as fast when the scores stay in its cache and on pages it has; an accelerator wants few large products
_SCORES_AT_ONCE = {"cpu": 1 << 19}
_SCORES_ELSEWHERE = 1 << 26


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


@dataclass(frozen=True)
class Keys:
    """Keys of one softmax that share a rotation of the queries.

    Attributes:
        query: [B, H, C, D].
        key: [B, G, N, D].
        value: [B, G, N, D].
        visible: bool, true where a query may attend: [B or 1, C, N - clear].
        clear: so many of the first keys every query may attend; `visible` speaks of the others.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    visible: Tensor
    clear: int = 0


def joint_attention(far: Keys | None, near: Keys, scaling: float) -> tuple[Tensor, Tensor]:
    """One exact softmax over two sets of keys, for which the queries may be rotated differently.

    Matrix products write one score matrix; on a CPU this is faster than scaled_dot_product_attention over keys
    of twice the width, and it gives the attention that each near key received, which memory needs.

    Args:
        far: keys from outside the window, if there are any.
        near: keys of the window and the chunk.
        scaling: of the scores.

    Returns:
        The output [B, H, C, D], and the attention each near key received, summed over queries and over the
        query heads of its group, float32 [B, G, N]; rows of queries that see no near key count nothing.
    """
    query = near.query
    batch, heads, chunk, _ = query.shape
    groups, count = near.key.shape[1:3]
    share = heads // groups
    offset = 0 if far is None else far.key.shape[2]
    out = torch.empty_like(query)
    mass = torch.zeros(batch, groups, count, device=query.device)
    idle = None if near.clear else ~near.visible.any(-1)
    for row, kv, heads_of in _blocks(batch, groups, share, chunk * (offset + count), query.device.type):
        scores = query.new_empty(kv.stop - kv.start, (heads_of.stop - heads_of.start) * chunk, offset + count)
        if far is not None:
            _score(far, row, kv, heads_of, scaling, scores[..., :offset])
        _score(near, row, kv, heads_of, scaling, scores[..., offset:])
        weights = scores.softmax(-1)
        received = weights[..., offset:]
        found = torch.bmm(received, near.value[row, kv])
        if far is not None:
            found.baddbmm_(weights[..., :offset], far.value[row, kv])
        by_group = out[row].view(groups, share, chunk, -1)
        by_group[kv, heads_of] = found.view(len(found), -1, chunk, found.shape[-1])
        if idle is not None:
            received = received.masked_fill(idle[row % len(idle)].repeat(received.shape[1] // chunk)[:, None], 0.0)
        mass[row, kv] += received.sum(1, dtype=torch.float32)
    return out, mass


def _blocks(batch: int, groups: int, share: int, per_head: int, device: str) -> Iterator[tuple[int, slice, slice]]:
    """Row, key-value heads, and query heads of each of them, of every product that is made at once."""
    budget = max(1, _SCORES_AT_ONCE.get(device, _SCORES_ELSEWHERE) // per_head)
    some, each = max(1, min(groups, budget // share)), min(share, budget)
    for row, first, head in product(range(batch), range(0, groups, some), range(0, share, each)):
        yield row, slice(first, min(first + some, groups)), slice(head, min(head + each, share))


def _score(keys: Keys, row: int, kv: slice, heads: slice, scaling: float, into: Tensor) -> None:
    """Write the scaled scores [g, heads * C, N] of one row, some key-value heads and some query heads of each."""
    chunk, width = keys.query.shape[2:]
    query = keys.query[row].view(keys.key.shape[1], -1, chunk, width)[kv, heads] * scaling
    torch.bmm(query.reshape(-1, into.shape[1], width), keys.key[row, kv].transpose(1, 2), out=into)
    hidden = ~keys.visible[row % len(keys.visible)]
    if hidden.shape[-1]:
        masked = into[..., keys.clear :]
        masked.view(len(into), -1, chunk, masked.shape[-1]).masked_fill_(hidden, torch.finfo(into.dtype).min)
