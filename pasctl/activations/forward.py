"""Run a token plan through a model's decoder layers, steered or not; lm_head is not touched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from pasctl.activations.plan import Batch, TokenPlan
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention

Consume = Callable[[Batch, Tensor], None]


@torch.inference_mode()
def run_plan(
    model: LoadedModel,
    plan: TokenPlan,
    consume: Consume,
    *,
    intervention: Intervention | None = None,
    positions: str = "all",
) -> None:
    """Push every batch through the model and hand on the last position's hidden state.

    Args:
        model: the loaded model.
        plan: from `plan_tokens`; the prefix runs once and its keys and values are reused by every batch.
        consume: called with each batch and hidden states [n, hidden] of its last tokens, after the final norm.
        intervention: of one row, applied while the plan runs.
        positions: "all", or "answer": the last token of every sequence only, which leaves the prefix unsteered.
    """
    everywhere = intervention if positions == "all" else None
    at_answer = intervention if positions == "answer" else None
    with steer(model, everywhere):
        prefix = _prefix_cache(model, plan.prefix)
        for batch in plan.batches:
            ids = torch.tensor(batch.suffixes, device=model.model.device)
            past = _expanded(prefix, len(batch.rows))
            scope: AbstractContextManager[None] = nullcontext()
            if at_answer is not None:
                scope = steer(model, at_answer, positions="answer")
            with scope:
                output = model.backbone(ids, past_key_values=past, use_cache=past is not None)
            consume(batch, output.last_hidden_state[:, -1])


def _prefix_cache(model: LoadedModel, prefix: tuple[int, ...]) -> Cache | None:
    """Keys and values of the shared prefix, batch 1; None without a prefix."""
    if not prefix:
        return None
    cache = DynamicCache(config=model.model.config)
    ids = torch.tensor([prefix], device=model.model.device)
    model.backbone(ids, past_key_values=cache, use_cache=True)
    return cache


def _expanded(prefix: Cache | None, rows: int) -> Cache | None:
    """A cache for a batch that begins with the prefix; its keys and values are views, copied when a layer appends.

    Every batch needs its own: a forward pass appends to its cache, and the prefix must stay as it is.
    """
    if prefix is None:
        return None
    cache = copy.copy(prefix)
    layers: list[Any] = [copy.copy(layer) for layer in prefix.layers]
    for layer in layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    cache.layers = layers
    return cache
