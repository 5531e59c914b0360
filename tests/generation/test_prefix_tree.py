"""The tree of stored beginnings: what it finds is what a search over all texts finds, within its bound."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from pasctl.generation.prefix_tree import LEAST_TOKENS, NODE_TOKENS, Layers, PrefixTree, common_length
from pasctl.models.layer_states import LayerStates
from tests.tiny import tiny_loaded

KEYS = (b"", b"one", b"other")
SHAPES = {0: ((2, 4), (2, 4)), 3: ((1, 6), (1, 2))}  # heads and widths of keys and of values


def values_of(key: bytes, ids: tuple[int, ...]) -> Layers:
    """Keys and values that tell everything before each token, as a model's do."""
    seen, rows = len(key), []
    for token in ids:
        seen = (31 * seen + token) % 1_000_003
        rows.append(seen)
    column = torch.tensor(rows, dtype=torch.float32)[None, :, None]
    return {
        layer: (column.expand(g, -1, d).clone() + layer, column.expand(h, -1, e).clone() - layer)
        for layer, ((g, d), (h, e)) in SHAPES.items()
    }


def span(layers: Layers, start: int) -> Layers:
    return {layer: (keys[:, start:], values[:, start:]) for layer, (keys, values) in layers.items()}


def found(tree: PrefixTree, key: bytes, ids: tuple[int, ...]) -> int:
    """How many tokens are found; their keys and values are those of the text."""
    prefix = tree.longest(key, ids)
    if prefix is None:
        return 0
    assert sum(count for _, count in prefix.parts) == prefix.length
    expected = values_of(key, ids[: prefix.length])
    for layer, both in expected.items():
        for part, whole in enumerate(both):
            held = torch.cat([layers[layer][part][:, :count] for layers, count in prefix.parts], dim=1)
            assert torch.equal(held, whole)
    return prefix.length


@dataclass
class Texts:
    """Random texts, many of which begin alike."""

    seed: int
    known: list[tuple[int, ...]] = field(default_factory=lambda: [()])

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def next(self, most: int = 300) -> tuple[int, ...]:
        before = self.random.choice(self.known)
        cut = before[: self.random.randint(0, len(before))]
        text = cut + tuple(self.random.randint(1, 3) for _ in range(self.random.randint(1, most)))
        self.known.append(text)
        return text


def test_common_length_is_that_of_a_search() -> None:
    texts = Texts(1)
    for _ in range(300):
        one, other = texts.next(40), texts.next(40)
        naive = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        assert common_length(one, other) == naive


@pytest.mark.parametrize("seed", range(4))
def test_the_longest_beginning_of_each_key_is_found(seed: int) -> None:
    tree, texts, stored = PrefixTree(1 << 30), Texts(seed), {key: list[tuple[int, ...]]() for key in KEYS}
    for number in range(60):
        ids, key = texts.next(), KEYS[number % len(KEYS)]
        best = max((common_length(ids, other) for other in stored[key]), default=0)
        assert tree.known(key, ids) == best
        assert found(tree, key, ids) == (best if best >= LEAST_TOKENS else 0)
        # as a text is read: in parts, the first of which may overlap with what is there
        for stop in (*sorted(texts.random.sample(range(1, len(ids) + 1), min(3, len(ids)))), len(ids)):
            start = texts.random.randint(0, tree.known(key, ids[:stop]))
            assert tree.add(key, ids[:stop], start, span(values_of(key, ids[:stop]), start))
        stored[key].append(ids)
        assert tree.known(key, ids) == len(ids)
        assert tree.bytes == counted(tree)


def counted(tree: PrefixTree) -> int:
    """Bytes of the tensors that are really held, and of what stands beside them."""
    total = 0
    for node in tree._order:
        assert len(node.ids) <= NODE_TOKENS
        tensors = [each for both in node.layers.values() for each in both]
        for each in tensors:
            assert each.untyped_storage().nbytes() == each.numel() * each.element_size()  # no other's numbers
        total += sum(each.numel() * each.element_size() + 512 for each in tensors) + 40 * len(node.ids)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_it_keeps_to_its_bytes_and_what_is_left_is_right(seed: int) -> None:
    limit = 55000
    tree, texts, refused, dropped = PrefixTree(limit), Texts(seed), 0, 0
    for number in range(150):
        ids, key = texts.next(), KEYS[number % len(KEYS)]
        start = found(tree, key, ids)
        before = tree.bytes
        refused += not tree.add(key, ids, start, span(values_of(key, ids), start))
        dropped += tree.bytes < before
        assert tree.bytes == counted(tree) <= limit
        assert found(tree, key, ids) <= len(ids)
    assert refused > 5  # texts longer than all the room leave the others where they are
    assert dropped > 5
    assert len(tree) > 0
    tree.clear()
    assert (len(tree), tree.bytes, counted(tree)) == (0, 0, 0)


def test_what_was_used_last_stays_and_ends_go_before_beginnings() -> None:
    texts = [tuple(range(1000 * n, 1000 * n + 2 * NODE_TOKENS)) for n in range(4)]
    tree = PrefixTree(1 << 30)
    for ids in texts[:3]:
        tree.add(b"", ids, 0, values_of(b"", ids))
    tree.limit = tree.bytes
    assert found(tree, b"", texts[0]) == 2 * NODE_TOKENS
    tree.add(b"", texts[3][:NODE_TOKENS], 0, values_of(b"", texts[3][:NODE_TOKENS]))
    assert [found(tree, b"", ids) for ids in texts] == [256, 128, 256, 128]


def test_tokens_after_a_hole_are_not_stored() -> None:
    tree, ids = PrefixTree(1 << 20), tuple(range(100))
    assert tree.add(b"", ids[:40], 0, values_of(b"", ids[:40]))
    assert not tree.add(b"", ids, 41, span(values_of(b"", ids), 41))
    assert not tree.add(b"other", ids, 1, span(values_of(b"other", ids), 1))
    assert tree.known(b"", ids) == 40
    assert tree.known(b"other", ids) == 0
    assert not PrefixTree(0).add(b"", ids, 0, values_of(b"", ids))


def test_a_state_is_used_only_after_the_tokens_it_belongs_to() -> None:
    tree, ids = PrefixTree(1 << 30, exact=True), tuple(range(200))
    states: Any = LayerStates(tiny_loaded("qwen3_5_text"))
    assert tree.add(b"", ids[:150], 0, values_of(b"", ids[:150]), states)
    assert tree.longest(b"", ids[:149]) is None
    assert found(tree, b"", ids) == found(tree, b"", ids[:150]) == 150
    # a text that branches off before it leaves the state where it is
    other = (*ids[:60], 7, 7, 7)
    assert tree.add(b"", other, 0, values_of(b"", other), states.fork())
    assert (found(tree, b"", other), found(tree, b"", ids), tree.known(b"", ids[:100])) == (63, 150, 0)
