"""Attention over retrieved keys and the local window in one softmax."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from pasctl.models.attention import Scoring

# a CPU is twice as fast when the scores stay in its cache and on pages it has; an accelerator wants few large products
_SCORES_AT_ONCE = {"cpu": 1 << 19}
_SCORES_ELSEWHERE = 1 << 26


@dataclass(frozen=True)
class Keys:
    """Keys of one softmax that share a rotation of the queries.

    Attributes:
        query: [1, H, C, D].
        key: [1, G, N, D].
        value: [1, G, N, D].
        hidden: bool [C, N - clear], true where a query may not attend; None if all may attend to all.
        clear: so many of the first keys every query may attend; `hidden` speaks of the others.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    hidden: Tensor | None = None
    clear: int = 0


@dataclass(frozen=True)
class _Set:
    """`Keys` by key-value head: query [G, H / G, C, D], scaled, key [G, N, D], hidden [C, N - clear] or None."""

    query: Tensor
    key: Tensor
    hidden: Tensor | None
    clear: int


class Scratch:
    """Buffers that are used again and again: on a CPU, fresh pages cost more than what is computed on them."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.device], Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """A tensor of a shape, with the dtype and device of another; what it held under this name is overwritten."""
        size, buffer = math.prod(shape), self._buffers.get((name, like.device))
        if buffer is None or buffer.numel() < size or buffer.dtype != like.dtype:
            buffer = self._buffers[name, like.device] = like.new_empty(size)
        return buffer[:size].view(shape)


def joint_attention(
    far: Keys | None, near: Keys, scoring: Scoring, scratch: Scratch, *, wide: bool = False
) -> tuple[Tensor, Tensor]:
    """One exact softmax over two sets of keys, for which the queries may be rotated differently.

    Matrix products write one score matrix; on a CPU this is faster than scaled_dot_product_attention over keys
    of twice the width, and it gives the attention that each near key received, which memory needs. Sets with the same
    queries are put together beforehand, and take one product.

    Args:
        far: keys from outside the window, if there are any; none of them is hidden.
        near: keys of the window and the chunk.
        scoring: scaling, softcap and sinks of the scores.
        scratch: buffers for keys, scores and weights.
        wide: whether scores are kept in float32 in half precision. Keys with large biases have scores of a thousand
            and more, of which bfloat16 keeps steps of 8.

    Returns:
        The output [1, H, C, D], and the attention each near key received, summed over queries and over the
        query heads of its group, float32 [1, G, N].
    """
    _, heads, chunk, width = near.query.shape
    groups, local = near.key.shape[1:3]
    share, offset = heads // groups, 0 if far is None else far.key.shape[2]
    out = torch.empty_like(near.query)
    mass = torch.zeros(groups, local, device=out.device)
    sets, value = _sets(far, near, scoring.scaling, scratch)
    by_group = out[0].view(groups, share, chunk, width)
    for kv, heads_of in _blocks(groups, share, chunk * (offset + local), out.device.type):
        sinks = None if scoring.sinks is None else scoring.sinks.view(groups, share)[kv, heads_of]
        weights = _weights(sets, kv, heads_of, scratch, scoring.softcap, sinks, wide=wide).to(value.dtype)
        by_group[kv, heads_of] = torch.bmm(weights, value[kv]).view(len(weights), -1, chunk, width)
        mass[kv] += weights.sum(1)[:, offset:]
    return out, mass[None]


def _sets(far: Keys | None, near: Keys, scaling: float, scratch: Scratch) -> tuple[list[_Set], Tensor]:
    """Sets of keys, one for each rotation of the queries, and the values [G, M + N, D] of all of them."""

    def scaled(query: Tensor) -> Tensor:
        return (query[0] * scaling).view(near.key.shape[1], -1, *query.shape[2:])

    query = scaled(near.query)
    if far is None:
        return [_Set(query, near.key[0], near.hidden, near.clear)], near.value[0]
    value, count = _joined(far.value[0], near.value[0], scratch, "value"), far.key.shape[2]
    if far.query is near.query:
        key = _joined(far.key[0], near.key[0], scratch, "key")
        return [_Set(query, key, near.hidden, count + near.clear)], value
    afar = _Set(scaled(far.query), far.key[0], None, count)
    return [afar, _Set(query, near.key[0], near.hidden, near.clear)], value


def _joined(first: Tensor, second: Tensor, scratch: Scratch, name: str) -> Tensor:
    """Keys or values [G, M, D] and [G, N, D] as [G, M + N, D]."""
    groups, count, width = first.shape
    room = scratch.take(name, first, groups, count + second.shape[1], width)
    return torch.cat([first, second], dim=1, out=room)


def _blocks(groups: int, share: int, per_head: int, device: str) -> Iterator[tuple[slice, slice]]:
    """Key-value heads, and query heads of each of them, of every product that is made at once."""
    budget = max(1, _SCORES_AT_ONCE.get(device, _SCORES_ELSEWHERE) // per_head)
    some, each = max(1, min(groups, budget // share)), min(share, budget)
    for first, head in product(range(0, groups, some), range(0, share, each)):
        yield slice(first, min(first + some, groups)), slice(head, min(head + each, share))


def _weights(
    sets: list[_Set],
    kv: slice,
    heads: slice,
    scratch: Scratch,
    softcap: float | None,
    sinks: Tensor | None,
    *,
    wide: bool,
) -> Tensor:
    """Attention weights [g, heads * C, M + N] of some key-value heads and some query heads of each.

    Sinks [g, heads] are one more column of the softmax.
    """
    parts = [
        _scores(keys, kv, heads, scratch, f"scores {number}", softcap, wide=wide) for number, keys in enumerate(sets)
    ]
    if sinks is not None:
        chunk = sets[0].query.shape[2]
        parts.append(sinks.to(parts[0].dtype)[..., None].expand(-1, -1, chunk).reshape(len(sinks), -1, 1))
    scores = parts[0]
    if len(parts) > 1:
        length = sum(part.shape[-1] for part in parts)
        scores = torch.cat(parts, dim=-1, out=scratch.take("scores", scores, *scores.shape[:2], length))
    weights = torch.softmax(scores, -1, out=scratch.take("weights", scores, *scores.shape))
    return weights if sinks is None else weights[..., :-1]


def _scores(
    keys: _Set, kv: slice, heads: slice, scratch: Scratch, name: str, softcap: float | None, *, wide: bool
) -> Tensor:
    """Scores [g, heads * C, N]; those of keys that a query may not attend are the least number there is."""
    query, key = keys.query[kv, heads].flatten(1, 2), keys.key[kv].transpose(1, 2)
    if wide:
        query, key = query.float(), key.float()
    scores = torch.bmm(query, key, out=scratch.take(name, query, *query.shape[:2], key.shape[-1]))
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    if keys.hidden is not None and keys.hidden.shape[-1]:
        masked = scores[..., keys.clear :]
        chunk = keys.query.shape[2]
        masked.view(len(scores), -1, chunk, masked.shape[-1]).masked_fill_(keys.hidden, torch.finfo(scores.dtype).min)
    return scores
