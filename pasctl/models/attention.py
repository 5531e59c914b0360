"""The place where a model's attention is handed to an object of ours, in transformers' registry.

Queries, keys and values of each layer reach the object through the model's keyword arguments. No model class is
patched. Position ids of zero make the model's own rotation the identity, for who rotates by himself.
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


class Attender(Protocol):
    """What attends in a forward pass in the place of the model."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: int | None
    ) -> Tensor:
        """Attention output [B, H, C, D] of query [B, H, C, D], key and value [B, G, C, D] of one layer."""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    attender: Attender,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    layer: Any = module.layer_idx
    out = attender.attend(int(layer), query, key, value, scaling, sliding_window)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(IMPLEMENTATION, _attention)


@contextmanager
def own_attention(model: LoadedModel) -> Iterator[None]:
    """Let `run_backbone`'s attender attend while the block runs."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation(IMPLEMENTATION)
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def run_backbone(model: LoadedModel, ids: Tensor, attender: Attender, positions: Tensor | None = None) -> Tensor:
    """Last hidden states [B, C, hidden] of token ids int64 [B, C]; call within `own_attention`.

    Queries and keys come rotated to `positions` [B, C]; None leaves them unrotated.
    """
    ids = ids.to(model.device)
    positions = torch.zeros_like(ids) if positions is None else positions.to(model.device)
    out: Any = model.backbone(input_ids=ids, position_ids=positions, use_cache=False, attender=attender)
    hidden: Tensor = out.last_hidden_state
    return hidden
