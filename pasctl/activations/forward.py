"""Run a token plan through a model's decoder layers, steered or not; lm_head is not touched."""

from __future__ import annotations

import copy
from collections.abc import Callable
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
    run_batch = _run_packed if plan.packed else _run_rows
    with steer(model, everywhere):
        prefix = _prefix_cache(model, plan.prefix)
        for batch in plan.batches:
            consume(batch, run_batch(model, prefix, batch, at_answer))


def can_pack(model: LoadedModel) -> bool:
    """Whether the model takes a mask of our own: its attention does, and no layer has a window of its own."""
    layers = DynamicCache(config=model.model.config).layers
    return model.attn in ("sdpa", "eager") and not any(getattr(layer, "is_sliding", False) for layer in layers)


def _run_rows(model: LoadedModel, prefix: Cache | None, batch: Batch, at_answer: Intervention | None) -> Tensor:
    """One row a sequence, each behind the prefix. Gives [n, hidden] of the last tokens."""
    ids = torch.tensor(batch.suffixes, device=model.model.device)
    past = _expanded(prefix, len(batch.rows))
    with steer(model, at_answer, positions="answer"):
        output = model.backbone(ids, past_key_values=past, use_cache=past is not None)
    hidden: Tensor = output.last_hidden_state[:, -1]
    return hidden


def _run_packed(model: LoadedModel, prefix: Cache | None, batch: Batch, at_answer: Intervention | None) -> Tensor:
    """One row for all sequences, end to end behind one prefix; a mask keeps each to the prefix and itself."""
    device = model.model.device
    lengths = torch.tensor([len(suffix) for suffix in batch.suffixes], device=device)
    ids = torch.tensor([[token for suffix in batch.suffixes for token in suffix]], device=device)
    last = lengths.cumsum(0) - 1
    begins = prefix.get_seq_length() if prefix is not None else 0
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
    place = torch.arange(ids.shape[1], device=device)
    # every suffix continues the prefix: its first token stands right behind it
    positions = begins + place - (last + 1 - lengths)[owner]
    seen = (owner[:, None] == owner[None, :]) & (place[:, None] >= place[None, :])
    dtype = model.model.dtype
    mask = torch.zeros(1, 1, len(place), begins + len(place), dtype=dtype, device=device)
    mask[0, 0, :, begins:].masked_fill_(~seen, torch.finfo(dtype).min)
    with steer(model, at_answer, positions=last):
        output = model.backbone(
            ids,
            position_ids=positions[None],
            attention_mask=mask,
            past_key_values=_expanded(prefix, 1),
            use_cache=prefix is not None,
        )
    hidden: Tensor = output.last_hidden_state[0, last]
    return hidden


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
