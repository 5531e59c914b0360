"""The shape of a model's attention, read from the loaded model itself and never from a table of sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pasctl.errors import PasctlError

if TYPE_CHECKING:
    from torch import nn

    from pasctl.models.adapters import Adapter


@dataclass(frozen=True)
class Geometry:
    """L layers, H query heads, G key-value heads, D = head_dim, and the width of the residual stream.

    H * D is the width of `o_proj`'s input, which is *not* `hidden` on, for example, Qwen3-0.6B (16 * 128 and 1024).
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int

    @property
    def width(self) -> int:
        """H * D, the width of o_proj's input."""
        return self.heads * self.head_dim


def read_geometry(model: Any, adapter: Adapter) -> Geometry:
    """Geometry of a loaded CausalLM, with every layer's o_proj checked against it.

    Raises:
        PasctlError: config and modules disagree.
    """
    config: Any = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    blocks = adapter.blocks(model)
    if len(blocks) != config.num_hidden_layers:
        raise PasctlError(f"config says {config.num_hidden_layers} layers, {adapter.layers} has {len(blocks)}")
    heads = int(config.num_attention_heads)
    geometry = Geometry(
        layers=len(blocks),
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=_head_dim(config, blocks[0][1]),
        hidden=int(config.hidden_size),
    )
    for number, (_, _, projection) in enumerate(blocks):
        found = _in_features(projection)
        if found != geometry.width:
            raise PasctlError(
                f"layer {number}: {adapter.output} takes {found} inputs, expected {heads} heads "
                f"x head_dim {geometry.head_dim} = {geometry.width}"
            )
    return geometry


def _head_dim(config: Any, attention: nn.Module) -> int:
    # hidden / heads is the last resort: it is wrong on several sizes of Qwen3, which o_proj's width then tells
    stated = getattr(attention, "head_dim", None) or getattr(config, "head_dim", None)
    return int(stated) if stated else int(config.hidden_size) // int(config.num_attention_heads)


def _in_features(projection: Any) -> int:
    """Input width of a linear layer; packed and quantized layers keep it as an attribute, not as the weight's shape."""
    found = getattr(projection, "in_features", None)
    return int(found if found is not None else projection.weight.shape[-1])
