"""The place where a model's attention is handed to an object of ours, in transformers' registry.

Queries, keys and values of each layer reach the object through the model's keyword arguments. No model class is
patched. Position ids of zero make the model's own rotation the identity, for who rotates by himself. What a model asks
of its attention beyond that (sinks, a softcap, a mask of its own) is refused: left out, it would change every answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel

IMPLEMENTATION = "pasctl_memory"

_ANY = None
HARMLESS: Mapping[str, tuple[Any, ...] | None] = MappingProxyType(
    {
        "dropout": (0.0,),  # drops nothing
        "is_causal": (True,),  # no attender attends to later tokens
        "use_cache": (False,),  # no cache is given
        "output_attentions": (False,),  # weights are not asked for
        # what else the model returns, and its loss: no attention output depends on these
        "output_hidden_states": _ANY,
        "output_router_logits": _ANY,
        "return_dict": _ANY,
        "num_items_in_batch": _ANY,
        "position_ids": _ANY,  # queries and keys come rotated to them, or at zero for who rotates by himself
        "cache_position": _ANY,  # a place in the cache, which is not there
    }
)
"""Keyword arguments that an attention output does not depend on, with the values for which this holds; None is any.

An argument of None says nothing. All others are refused.
"""


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
    scaling: float | None = None,
    attender: Attender | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if attender is None:
        raise InputError(
            f"a {_family(module)} model hands its attention no keyword arguments, so pasctl cannot attend for it",
            hint=_HINT,
        )
    _require_harmless(module, {**kwargs, "attention_mask": attention_mask})
    layer: Any = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = attender.attend(int(layer), query, key, value, scale, sliding_window)
    return out.transpose(1, 2).contiguous(), None


_HINT = "memory, chat, say and serve need that; commands that use the model's own attention, as eval does, do not"


def _require_harmless(module: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Refuse what the attention function would leave out.

    Raises:
        InputError: an argument that is not null and on which the output may depend.
    """
    for name, value in arguments.items():
        if value is None:
            continue
        if name in HARMLESS:
            allowed = HARMLESS[name]
            if allowed is _ANY or value in allowed:
                continue
        shown = value if isinstance(value, bool | int | float | str) else type(value).__name__
        raise InputError(
            f"a {_family(module)} model gives its attention {name}={shown}, which pasctl's attention does not apply",
            hint=_HINT,
        )


def _family(module: nn.Module) -> str:
    return str(getattr(getattr(module, "config", None), "model_type", type(module).__name__))


AttentionInterface.register(IMPLEMENTATION, _attention)


@contextmanager
def attention_of(model: LoadedModel, implementation: str) -> Iterator[None]:
    """Let the model attend by an implementation, by transformers' name, while the block runs."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def own_attention(model: LoadedModel) -> AbstractContextManager[None]:
    """Let `run_backbone`'s attender attend while the block runs."""
    return attention_of(model, IMPLEMENTATION)


def run_backbone(model: LoadedModel, ids: Tensor, attender: Attender, positions: Tensor | None = None) -> Tensor:
    """Last hidden states [B, C, hidden] of token ids int64 [B, C]; call within `own_attention`.

    Queries and keys come rotated to `positions` [B, C]; None leaves them unrotated.
    """
    ids = ids.to(model.device)
    positions = torch.zeros_like(ids) if positions is None else positions.to(model.device)
    out: Any = model.backbone(input_ids=ids, position_ids=positions, use_cache=False, attender=attender)
    hidden: Tensor = out.last_hidden_state
    return hidden
