"""Keys and values of texts that were read, as a tree: texts that begin alike share what they begin with.

A path from a root is a text's beginning; each node on it has a run of tokens. There is one root per key, and nothing
is shared between keys. What was not used for longest is dropped first, from the ends of texts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pasctl.models.layer_states import LayerStates

Layers = Mapping[int, tuple[Tensor, Tensor]]
"""By the number of a layer, keys [G, n, D] and values [G, n, D'] of n tokens."""

NODE_TOKENS = 128  # at most in a node: what is dropped at a time
LEAST_TOKENS = 16  # a shorter beginning is read anew: that costs less than to look after it
_TENSOR_BYTES = 512  # of a tensor besides its numbers
_TOKEN_BYTES = 40  # of a token's id


@dataclass(eq=False)
class _Node:
    """A run of tokens after those of its parent.

    Attributes:
        ids: of the tokens [n]; a root has none.
        layers: their keys and values.
        parent: None of a root.
        key: of a root.
        states: of the layers that have one, after the last of the tokens, if they are stored.
        children: by their first token.
    """

    ids: tuple[int, ...]
    layers: Layers
    parent: _Node | None
    key: bytes = b""
    states: LayerStates | None = None
    children: dict[int, _Node] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """What it takes."""
        return size_of(self.layers, len(self.ids)) + (0 if self.states is None else self.states.bytes)


@dataclass(frozen=True, eq=False)
class StoredPrefix:
    """The beginning of a text.

    Attributes:
        length: its tokens.
        parts: in their order, keys and values, of which so many tokens from the first on belong to it.
        states: after its last token, of a model that has any.
    """

    length: int
    parts: Sequence[tuple[Layers, int]]
    states: LayerStates | None


class PrefixTree:
    """Beginnings of texts, within a bound on their bytes; used by one thread.

    Attributes:
        limit: bytes that it may take.
        bytes: that it takes.
        exact: a beginning can be used only up to where states are stored, since a state cannot be cut.
    """

    def __init__(self, limit: int, *, exact: bool = False) -> None:
        self.limit, self.exact, self.bytes = limit, exact, 0
        self._roots: dict[bytes, _Node] = {}
        # least recently used first; a node is used after those below it, so the first has none below it
        self._order: OrderedDict[_Node, None] = OrderedDict()

    def __len__(self) -> int:
        """Nodes."""
        return len(self._order)

    def known(self, key: bytes, ids: tuple[int, ...]) -> int:
        """How many tokens of a text's beginning can be used."""
        return sum(count for _, count in self._usable(key, ids))

    def longest(self, key: bytes, ids: tuple[int, ...]) -> StoredPrefix | None:
        """The longest beginning of a text that is stored; None if it is hardly any."""
        path = self._usable(key, ids)
        length = sum(count for _, count in path)
        if length < LEAST_TOKENS:
            return None
        self._use(path[-1][0])
        return StoredPrefix(length, [(node.layers, count) for node, count in path], path[-1][0].states)

    def add(
        self, key: bytes, ids: tuple[int, ...], start: int, layers: Layers, states: LayerStates | None = None
    ) -> bool:
        """Store a text's tokens from `start` on; tells whether that was possible.

        Args:
            key: texts of other keys share nothing with it.
            ids: of the text [N].
            start: tokens before must be stored, and may have been dropped since.
            layers: of tokens `start` to N; copied.
            states: after token N; taken over.
        """
        path = self._walk(key, ids)
        known = sum(count for _, count in path)
        count = len(ids) - known
        new = size_of(layers, count) if count else 0
        own = sum(node.bytes for node, _ in path) + (0 if states is None else states.bytes)
        if known < start or own + new > self.limit:
            return False
        if not path:
            self._roots.setdefault(key, _Node((), {}, None, key))
        end = self._cut(*path[-1]) if path else self._roots[key]
        if count:
            end = self._append(end, ids[known:], _view(layers, known - start, len(ids) - start))
        if states is not None and end.states is None:
            end.states = states
            self.bytes += states.bytes
        self._use(end)
        self._drop()
        return True

    def clear(self) -> None:
        """Forget all."""
        self._roots.clear()
        self._order.clear()
        self.bytes = 0

    def _usable(self, key: bytes, ids: tuple[int, ...]) -> list[tuple[_Node, int]]:
        path = self._walk(key, ids)
        while self.exact and path and (path[-1][0].states is None or path[-1][1] < len(path[-1][0].ids)):
            path.pop()
        return path

    def _walk(self, key: bytes, ids: tuple[int, ...]) -> list[tuple[_Node, int]]:
        """The nodes along a text, and how many tokens of each are its own: all, but perhaps of the last."""
        path, place, node = list[tuple[_Node, int]](), 0, self._roots.get(key)
        while node is not None and place < len(ids):
            child = node.children.get(ids[place])
            if child is None:
                break
            count = common_length(child.ids, ids[place : place + len(child.ids)])
            path.append((child, count))
            place += count
            node = child if count == len(child.ids) else None
        return path

    def _cut(self, node: _Node, count: int) -> _Node:
        """The node that ends with a node's token number `count`: itself, or one that is made of its first tokens."""
        if count == len(node.ids):
            return node
        if node.parent is None:
            raise RuntimeError("a root has no tokens to cut")
        self.bytes -= node.bytes
        first = _Node(node.ids[:count], span_of(node.layers, 0, count), node.parent)
        rest = span_of(node.layers, count, len(node.ids))
        node.ids, node.layers, node.parent = node.ids[count:], rest, first
        first.children[node.ids[0]] = node
        self._place(first)
        self.bytes += node.bytes
        return first

    def _append(self, node: _Node, ids: tuple[int, ...], layers: Layers) -> _Node:
        """Add tokens after a node's; gives the node that ends with the last of them."""
        room = NODE_TOKENS - len(node.ids)
        grows = node.parent is not None and not node.children and node.states is None and room > 0
        if grows:
            taken = min(room, len(ids))
            self.bytes -= node.bytes
            node.layers = _joined(node.layers, _view(layers, 0, taken))
            node.ids += ids[:taken]
            self.bytes += node.bytes
        for start in range(taken if grows else 0, len(ids), NODE_TOKENS):
            stop = min(start + NODE_TOKENS, len(ids))
            node = _Node(ids[start:stop], span_of(layers, start, stop), node)
            self._place(node)
        return node

    def _place(self, node: _Node) -> None:
        """A node is new: let its parent have it."""
        if node.parent is not None:
            node.parent.children[node.ids[0]] = node
        self._order[node] = None
        self.bytes += node.bytes

    def _use(self, node: _Node) -> None:
        """A node is used, and with it all before it."""
        at: _Node | None = node
        while at is not None and at.parent is not None:
            self._order.move_to_end(at)
            at = at.parent

    def _drop(self) -> None:
        """Keep within the bound."""
        while self.bytes > self.limit and self._order:
            node, _ = self._order.popitem(last=False)
            self.bytes -= node.bytes
            parent = node.parent
            if node.children or parent is None:
                raise RuntimeError("what others follow was dropped before them")
            del parent.children[node.ids[0]]
            if parent.parent is None and not parent.children:
                del self._roots[parent.key]


def span_of(layers: Layers, start: int, stop: int) -> Layers:
    """Copies of the keys and values of tokens `start` to `stop`, so that the others can be freed."""
    return {layer: (keys.clone(), values.clone()) for layer, (keys, values) in _view(layers, start, stop).items()}


def _view(layers: Layers, start: int, stop: int) -> Layers:
    return {layer: (keys[:, start:stop], values[:, start:stop]) for layer, (keys, values) in layers.items()}


def size_of(layers: Layers, tokens: int) -> int:
    """Bytes that so many tokens take, of layers that hold any number of them."""
    return tokens * _TOKEN_BYTES + sum(
        each.shape[0] * each.shape[2] * each.element_size() * tokens + _TENSOR_BYTES
        for both in layers.values()
        for each in both
    )


def common_length(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens two texts have in common from their beginnings on."""
    same, differ = 0, min(len(one), len(other)) + 1
    if one[: differ - 1] == other[: differ - 1]:
        return differ - 1
    while differ - same > 1:
        middle = (same + differ) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            differ = middle
    return same


def _joined(first: Layers, second: Layers) -> Layers:
    return {
        layer: (torch.cat([keys, second[layer][0]], dim=1), torch.cat([values, second[layer][1]], dim=1))
        for layer, (keys, values) in first.items()
    }
