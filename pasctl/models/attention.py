"""The place where a model's attention is handed to an object of ours, in transformers' registry.

`run_backbone` says which object attends while the model runs in its thread; no model class is patched, and nothing
depends on the arguments that a model hands from layer to layer. Position ids of zero make the model's own rotation the
identity, for who rotates by himself. Sinks and a softcap are handed on as well. What a model asks of its attention
beyond that (a mask of its own, a bias by position) is refused: left out, it would change every answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from pasctl.errors import InputError
from pasctl.models.kv_cache import behind
from pasctl.models.layer_states import LayerStates
from pasctl.models.load import LoadedModel
from pasctl.models.parallel import gathered, own_share

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


@dataclass(frozen=True, eq=False)
class Scoring:
    """What a layer makes of the products of queries and keys.

    Attributes:
        scaling: they are multiplied with it.
        sliding: of the last so many keys each query attends; None attends all before it.
        softcap: then scores s become softcap * tanh(s / softcap); None leaves them.
        sinks: a score [H] for each query head that takes a share of the softmax and gives nothing; None is none.
    """

    scaling: float
    sliding: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    @property
    def plain(self) -> bool:
        """Whether there is neither a softcap nor sinks."""
        return self.softcap is None and self.sinks is None


class Attender(Protocol):
    """What attends in a forward pass in the place of the model."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [B, H, C, D] of query [B, H, C, D], key and value [B, G, C, D] of one layer."""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    attender = _ATTENDER.get()
    if attender is None:
        raise RuntimeError("the model ran outside run_backbone while pasctl attends for it")
    _require_harmless(module, {**kwargs, "attention_mask": attention_mask})
    layer: Any = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    sinks = None if s_aux is None else gathered(module, s_aux)
    scoring = Scoring(scale, sliding_window, softcap, sinks)
    query, key, value = (gathered(module, heads, 1) for heads in (query, key, value))
    out = own_share(module, attender.attend(int(layer), query, key, value, scoring), 1)
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


_ATTENDER: ContextVar[Attender | None] = ContextVar("attender", default=None)
"""What attends for the model that runs in this thread."""

AttentionInterface.register(IMPLEMENTATION, _attention)


def attends() -> bool:
    """Whether `run_backbone` runs a model in this thread."""
    return _ATTENDER.get() is not None


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


def run_backbone(
    model: LoadedModel,
    ids: Tensor,
    attender: Attender,
    positions: Tensor | None = None,
    states: LayerStates | None = None,
) -> Tensor:
    """Last hidden states [B, C, hidden] of token ids int64 [B, C]; call within `own_attention`.

    Args:
        model: what runs.
        ids: the tokens.
        attender: what attends for it.
        positions: [B, C] that queries and keys come rotated to; None leaves them unrotated.
        states: of the layers that have one, for a single row; they are read on. None begins each row anew.
    """
    ids = ids.to(model.device)
    positions = torch.zeros_like(ids) if positions is None else positions.to(model.device)
    token = _ATTENDER.set(attender)
    try:
        out: Any = model.backbone(
            input_ids=ids, position_ids=positions, **{**behind(model, states), "use_cache": False}
        )
    finally:
        _ATTENDER.reset(token)
    hidden: Tensor = out.last_hidden_state
    return hidden
