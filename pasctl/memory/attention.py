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
        query: [B, H, C, D].
        key: [B, G, N, D].
        value: [B, G, N, D].
        hidden: bool, true where a query may not attend: [B or 1, C or 1, N - clear].
        clear: so many of the first keys every query may attend; `hidden` speaks of the others.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    hidden: Tensor
    clear: int = 0


@dataclass(frozen=True)
class _Row:
    """One row of `Keys`: query [G, H / G, C, D], already scaled, key [G, N, D], hidden [C or 1, N - clear]."""

    query: Tensor
    key: Tensor
    hidden: Tensor
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
    far: Keys | None, near: Keys, scoring: Scoring, scratch: Scratch, *, count: bool, wide: bool = False
) -> tuple[Tensor, Tensor | None]:
    """One exact softmax over two sets of keys, for which the queries may be rotated differently.

    Matrix products write one score matrix; on a CPU this is faster than scaled_dot_product_attention over keys
    of twice the width, and it gives the attention that each near key received, which memory needs. Sets with the same
    queries are put together beforehand, and take one product.

    Args:
        far: keys from outside the window, if there are any.
        near: keys of the window and the chunk.
        scoring: scaling, softcap and sinks of the scores.
        scratch: buffers for keys, scores and weights.
        count: whether to give the attention received.
        wide: whether scores are kept in float32 in half precision. Keys with large biases have scores of a thousand
            and more, of which bfloat16 keeps steps of 8.

    Returns:
        The output [B, H, C, D], and the attention each near key received, summed over queries and over the
        query heads of its group, float32 [B, G, N]; None if it was not to be counted.
    """
    batch, heads, chunk, width = near.query.shape
    groups, local = near.key.shape[1:3]
    share, offset = heads // groups, 0 if far is None else far.key.shape[2]
    out = torch.empty_like(near.query)
    mass = torch.zeros(batch, groups, local, device=out.device) if count else None
    for row in range(batch):
        sets, value = _rows(far, near, row, scoring.scaling, scratch)
        by_group = out[row].view(groups, share, chunk, width)
        for kv, heads_of in _blocks(groups, share, chunk * (offset + local), out.device.type):
            sinks = None if scoring.sinks is None else scoring.sinks.view(groups, share)[kv, heads_of]
            weights = _weights(sets, kv, heads_of, scratch, scoring.softcap, sinks, wide=wide).to(value.dtype)
            by_group[kv, heads_of] = torch.bmm(weights, value[kv]).view(len(weights), -1, chunk, width)
            if mass is not None:
                mass[row, kv] += weights.sum(1)[:, offset:]
    return out, mass


def _rows(far: Keys | None, near: Keys, row: int, scaling: float, scratch: Scratch) -> tuple[list[_Row], Tensor]:
    """Sets of keys of one row, one for each rotation of its queries, and the values [G, M + N, D] of all of them."""

    def scaled(query: Tensor) -> Tensor:
        return (query[row] * scaling).view(near.key.shape[1], -1, *query.shape[2:])

    query, close = scaled(near.query), near.hidden[row % len(near.hidden)]
    if far is None:
        return [_Row(query, near.key[row], close, near.clear)], near.value[row]
    value = _behind(far.value[row], near.value[row], scratch, "value")
    if far.query is near.query:
        key = _behind(far.key[row], near.key[row], scratch, "key")
        return [_Row(query, key, *_hidden(far, near, row))], value
    afar = _Row(scaled(far.query), far.key[row], far.hidden[row % len(far.hidden)], far.clear)
    return [afar, _Row(query, near.key[row], close, near.clear)], value


def _behind(first: Tensor, second: Tensor, scratch: Scratch, name: str) -> Tensor:
    """Keys or values [G, M, D] and [G, N, D] as [G, M + N, D]."""
    groups, many, width = first.shape
    room = scratch.take(name, first, groups, many + second.shape[1], width)
    return torch.cat([first, second], dim=1, out=room)


def _hidden(far: Keys, near: Keys, row: int) -> tuple[Tensor, int]:
    """What is hidden of one row's far and near keys together, and how many of the first are not."""
    close = near.hidden[row % len(near.hidden)]
    if far.clear == far.key.shape[2]:
        return close, far.clear + near.clear
    chunk = near.query.shape[2]
    padded = far.hidden[row % len(far.hidden)].expand(chunk, -1)
    return torch.cat([padded, padded.new_zeros(chunk, near.clear), close], dim=1), far.clear


def _blocks(groups: int, share: int, per_head: int, device: str) -> Iterator[tuple[slice, slice]]:
    """Key-value heads, and query heads of each of them, of every product that is made at once."""
    budget = max(1, _SCORES_AT_ONCE.get(device, _SCORES_ELSEWHERE) // per_head)
    some, each = max(1, min(groups, budget // share)), min(share, budget)
    for first, head in product(range(0, groups, some), range(0, share, each)):
        yield slice(first, min(first + some, groups)), slice(head, min(head + each, share))


def _weights(
    sets: list[_Row],
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
    keys: _Row, kv: slice, heads: slice, scratch: Scratch, name: str, softcap: float | None, *, wide: bool
) -> Tensor:
    """Scores [g, heads * C, N]; those of keys that a query may not attend are the least number there is."""
    query, key = keys.query[kv, heads].flatten(1, 2), keys.key[kv].transpose(1, 2)
    if wide:
        query, key = query.float(), key.float()
    scores = torch.bmm(query, key, out=scratch.take(name, query, *query.shape[:2], key.shape[-1]))
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    if keys.hidden.shape[-1]:
        masked = scores[..., keys.clear :]
        chunk = keys.query.shape[2]
        masked.view(len(scores), -1, chunk, masked.shape[-1]).masked_fill_(keys.hidden, torch.finfo(scores.dtype).min)
    return scores
