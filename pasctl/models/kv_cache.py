"""Keys and values that grow by tokens: written into room that was taken before, which is moved only now and then."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from pasctl.models.parallel import is_shared
from pasctl.models.placement import is_spread

if TYPE_CHECKING:
    from pasctl.models.loaded import LoadedModel

ROOM = 256  # lengths of buffers are multiples of it: buffers of ever other lengths would leave holes in memory


class TokenBuffers:
    """Tensors that grow together by tokens, and may lose their oldest ones.

    Attributes:
        first: place of the first token in the buffers.
        stop: place behind the last one.
    """

    def __init__(
        self, tensors: Sequence[Tensor], dimensions: Sequence[int], room: Callable[[int], int] | None = None
    ) -> None:
        """Begin with some tokens; what is appended later does not change the tensors given.

        Args:
            tensors: with the same number of tokens.
            dimensions: of each, the one that counts tokens.
            room: tokens wanted now -> tokens that there is to be room for; None takes half as much again.
        """
        self._tensors, self._dimensions = list(tensors), tuple(dimensions)
        self._room = room or (lambda tokens: tokens + tokens // 2)
        self.first, self.stop = 0, tensors[0].shape[dimensions[0]]

    def __len__(self) -> int:
        return self.stop - self.first

    def __getitem__(self, number: int) -> Tensor:
        """The tokens that tensor `number` holds, a view."""
        return self._tensors[number].narrow(self._dimensions[number], self.first, len(self))

    def append(self, *more: Tensor) -> None:
        """Add the same number of tokens to each tensor."""
        count = more[0].shape[self._dimensions[0]]
        if self.stop + count > self._tensors[0].shape[self._dimensions[0]]:
            self.reserve(-(-self._room(len(self) + count) // ROOM) * ROOM)
        for tensor, dimension, new in zip(self._tensors, self._dimensions, more, strict=True):
            tensor.narrow(dimension, self.stop, count).copy_(new)
        self.stop += count

    def drop(self, count: int) -> None:
        """Forget the oldest tokens; their room is used again when the buffers grow."""
        self.first += max(0, min(count, len(self)))

    def reserve(self, tokens: int) -> None:
        """Move to buffers with room for so many tokens."""
        size = len(self)
        for number, dimension in enumerate(self._dimensions):
            shape = list(self._tensors[number].shape)
            shape[dimension] = tokens
            grown = self._tensors[number].new_empty(shape)
            grown.narrow(dimension, 0, size).copy_(self[number])
            self._tensors[number] = grown
        self.first, self.stop = 0, size


class PreallocatedLayer(DynamicLayer):
    """A layer of transformers' cache, written into room that is taken before the model runs.

    Taken one by one between a pass's own tensors, the layers' would stay in the way of those of the next layer, and a
    long prefix would take half as much again.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: Any) -> None:
        """Take room for keys and values of `shape` [1, G, tokens, D]."""
        super().__init__()
        none = torch.empty((*shape[:2], 0, shape[3]), dtype=dtype, device=device)
        self._buffers = TokenBuffers([none, none], [2, 2])
        self._buffers.reserve(shape[2])
        self.keys, self.values = self._buffers[0], self._buffers[1]
        self.dtype, self.device, self.is_initialized = dtype, none.device, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append [1, G, T, D]; gives all there is."""
        self._buffers.append(key_states, value_states)
        keys, values = self._buffers[0], self._buffers[1]
        self.keys, self.values = keys, values
        return keys, values


class SharedPrefix(Cache):
    """The cache of a batch that follows a prefix: what the batch appends serves its own layer and is let go.

    Keys and values of the prefix are views, one per row, and copied where a layer attends to them. A batch needs no
    other part of them once it has gone through, so its memory does not grow with the number of layers. The state of a
    layer that has one (linear attention, a convolution) is copied for each row, since reading on changes it in place.
    """

    def __init__(self, prefix: Cache, rows: int) -> None:
        super().__init__(layers=[layer if holds_keys(layer) else _forked(layer, rows) for layer in prefix.layers])
        self._rows = rows

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Keys and values [rows, G, prefix + T, D] that a layer attends to."""
        prefix: Any = self.layers[layer_idx]
        if not holds_keys(prefix):  # a fork of this batch's own
            return prefix.update(key_states, value_states, *args, **kwargs)
        keys, values = (each.expand(self._rows, -1, -1, -1) for each in (prefix.keys, prefix.values))
        if isinstance(prefix, PreallocatedLayer):
            return torch.cat([keys, key_states], dim=2), torch.cat([values, value_states], dim=2)
        layer: Any = copy.copy(prefix)  # with a window of its own, say
        layer.keys, layer.values = keys, values
        return layer.update(key_states, value_states, *args, **kwargs)


def behind(model: LoadedModel, cache: Cache | None) -> dict[str, Any]:
    """Arguments with which the model's backbone reads on behind a cache, and adds to it; None is no cache.

    transformers 5.24 has another name for the first.
    """
    known = inspect.signature(model.backbone.forward).parameters
    return {"cache" if "cache" in known else "past_key_values": cache, "use_cache": cache is not None}


def cache_behind(model: LoadedModel, tokens: int, before: Cache | None) -> Cache:
    """A cache with room for so many tokens that begins with what another one holds, and leaves that as it is."""
    cache, shared = DynamicCache(config=model.model.config), model.shared_shape
    spread = is_spread(model.model) or is_shared(model.model)  # layers on other devices, or with fewer heads
    for number, layer in enumerate(cache.layers):
        held: Any = None if before is None else before.layers[number]
        if type(layer) is DynamicLayer and shared is not None and not spread:
            shape = (1, shared[0], tokens, shared[1])
            cache.layers[number] = roomy = PreallocatedLayer(shape, model.model.dtype, model.device)
            if held is not None:
                roomy.update(held.keys, held.values)
        elif held is not None:  # appending makes new tensors of keys and values
            cache.layers[number] = copy.copy(held) if holds_keys(held) else _forked(held, 1)
    return cache


def holds_keys(layer: Any) -> bool:
    """Whether a cache's layer holds keys and values and nothing else."""
    return isinstance(layer, DynamicLayer) and not hasattr(layer, "conv_states")


def _forked(layer: Any, rows: int) -> Any:
    """A layer with a state of batch 1, for so many rows, with tensors of its own."""
    fork = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, Tensor):
            setattr(fork, name, _repeated(value, rows))
        elif isinstance(value, dict):
            copied = {key: _repeated(part, rows) if isinstance(part, Tensor) else part for key, part in value.items()}
            setattr(fork, name, copied)
    return fork


def _repeated(state: Tensor, rows: int) -> Tensor:
    return state.expand(rows, *state.shape[1:]).clone() if state.dim() and state.shape[0] == 1 else state.clone()
