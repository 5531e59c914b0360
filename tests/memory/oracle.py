"""EM-LLM's attention written the slow way: every query alone, against an explicit list of keys.

It shares nothing with pasctl.memory: it computes q, k and v with the model's own projections, rotates each query anew
for every key, and walks the tokens. What a chunk recalls and where its window starts are given to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def turned(x: Tensor, position: float, frequencies: Tensor) -> Tensor:
    """x [..., D] rotated to one position, by complex numbers."""
    half = x.shape[-1] // 2
    z = torch.complex(x[..., :half].double(), x[..., half:].double())
    z = z * torch.polar(torch.ones_like(frequencies.double()), position * frequencies.double())
    return torch.cat([z.real, z.imag], dim=-1).to(x.dtype)


def naive_hidden(
    model: Any,
    ids: list[int],
    seen: Callable[[int, int], tuple[list[int], int]],
    *,
    positions: str,
    n_local: int,
) -> Tensor:
    """Last hidden states [T, hidden] of a text.

    Args:
        seen: (layer, t) -> the far tokens that query t attends in this layer, and the start of its window.
    """
    frequencies = model.model.rotary_emb.inv_freq
    hidden = model.model.embed_tokens(torch.tensor(ids, device=model.device))
    for number, layer in enumerate(model.model.layers):
        attention = layer.self_attn
        width = attention.head_dim
        x = layer.input_layernorm(hidden)
        query, key, value = (
            getattr(attention, f"{name}_proj")(x).view(len(ids), -1, width) for name in ("q", "k", "v")
        )
        if hasattr(attention, "q_norm"):
            query, key = attention.q_norm(query), attention.k_norm(key)
        share = query.shape[1] // key.shape[1]
        groups = [head // share for head in range(query.shape[1])]
        rows = []
        for t in range(len(ids)):
            far, start = seen(number, t)
            attended = [*far, *range(start, t + 1)]
            distances = [t - j for j in attended]
            if positions == "paper":
                distances[: len(far)] = [n_local - 1] * len(far)
            elif positions == "compact":
                distances[: len(far)] = [t - start + len(far) - place for place in range(len(far))]
            queries = torch.stack([turned(query[t], distance, frequencies) for distance in distances])
            scores = (queries * key[attended][:, groups]).sum(-1) * width**-0.5
            rows.append((scores.softmax(0)[..., None] * value[attended][:, groups]).sum(0).flatten())
        hidden = hidden + attention.o_proj(torch.stack(rows))
        after = layer.mlp(layer.post_attention_layernorm(hidden)[None])
        hidden = hidden + (after[0] if isinstance(after, tuple) else after)[0]
    return model.model.norm(hidden)
