"""The maths of memory, each function against plain loops."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch

from pasctl.memory.codec import dequantize, quantize, round_trip
from pasctl.memory.events import Events
from pasctl.memory.refinement import refine, similarity, split_scores
from pasctl.memory.representatives import Places, representatives
from pasctl.memory.retrieval import choose_events, score_events
from pasctl.memory.segmentation import (
    fixed_boundaries,
    merge_and_split,
    random_boundaries,
    sentence_boundaries,
    surprise_boundaries,
)
from pasctl.memory.surprise import token_surprise


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tile", [1, 7, 50, 64])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_surprise_is_finite_and_equals_the_whole_softmax(tile: int, scale: float) -> None:
    hidden, head, targets = drawn(9, 5), drawn(50, 5, seed=1) * scale, torch.randint(50, (9,))
    found = token_surprise(hidden, targets, lambda h, a, b: h @ head[a:b].T, 50, tile)
    for row in range(9):
        logits = [float(x) for x in (hidden[row].double() @ head.double().T)]
        top = max(logits)
        expected = top + math.log(sum(math.exp(x - top) for x in logits)) - logits[targets[row]]
        assert math.isfinite(found[row])
        assert float(found[row]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("window", [3, 10, 100])
def test_boundaries_equal_a_loop_and_do_not_depend_on_what_follows(window: int) -> None:
    surprise = drawn(60).abs()
    whole = surprise_boundaries(surprise, window=window, gamma=0.8)
    for t in range(60):
        past = [float(x) for x in surprise[max(0, t - window) : t]]
        expected = False
        if len(past) >= 2:
            mean = sum(past) / len(past)
            expected = float(surprise[t]) > mean + 0.8 * math.sqrt(sum((x - mean) ** 2 for x in past) / len(past))
        assert bool(whole[t]) == expected
    pieces = [
        surprise_boundaries(surprise[:end], window=window, gamma=0.8, start=end - 10) for end in range(10, 61, 10)
    ]
    assert torch.equal(torch.cat(pieces), whole)


def test_a_spike_starts_an_event_where_it_is() -> None:
    surprise = torch.full((40,), 1.0)
    surprise[23] = 9.0
    assert surprise_boundaries(surprise, window=20, gamma=1.0).nonzero().flatten().tolist() == [23]


def test_event_lengths_hold_and_pieces_equal_the_whole() -> None:
    draw = random.Random(0)
    for _ in range(50):
        candidates = sorted(draw.sample(range(5, 300), draw.randint(0, 80)))
        whole = merge_and_split(candidates, begin=4, end=300, min_block=4, max_block=11)
        starts = [4, *whole]
        lengths = [b - a for a, b in itertools.pairwise(starts)]
        assert all(4 <= length <= 11 for length in lengths)
        assert 300 - starts[-1] <= 11
        pieces = [4]
        for end in range(17, 301, 1 if draw.random() < 0.5 else 13):
            known = [c for c in candidates if pieces[-1] < c < end]
            pieces += merge_and_split(known, begin=pieces[-1], end=end, min_block=4, max_block=11)
        assert pieces == starts[: len(pieces)]
        assert len(starts) - len(pieces) <= 2


def test_other_segmenters_do_not_depend_on_where_a_piece_begins() -> None:
    for flags in (lambda a, b: fixed_boundaries(a, b, 16), lambda a, b: random_boundaries(a, b, 16, 3)):
        whole = flags(0, 4000)
        assert torch.equal(torch.cat([flags(0, 1234), flags(1234, 4000)]), whole)
        assert 150 < int(whole.sum()) < 350
    assert not torch.equal(random_boundaries(0, 4000, 16, 3), random_boundaries(0, 4000, 16, 4))
    assert sentence_boundaries(["", "One", ".", " Two", "!", "\n", "x"]).tolist() == [
        False, False, True, False, True, True
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["modularity", "conductance"])
def test_splits_equal_their_definition(method: str) -> None:
    graph = similarity(drawn(2, 12, 6))
    scores = split_scores(graph, method)
    total = sum(float(graph[i, j]) for i in range(12) for j in range(12))
    for split in range(1, 12):
        sides = [range(split), range(split, 12)]
        inside = [sum(float(graph[i, j]) for i in side for j in side) for side in sides]
        degrees = [sum(float(graph[i, j]) for i in side for j in range(12)) for side in sides]
        if method == "modularity":
            expected = sum(a / total - (d / total) ** 2 for a, d in zip(inside, degrees, strict=True))
        else:
            expected = -(degrees[0] - inside[0]) / min(degrees)
        assert float(scores[split]) == pytest.approx(expected)


@pytest.mark.parametrize("method", ["modularity", "conductance"])
def test_a_boundary_moves_to_where_two_topics_meet(method: str) -> None:
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    keys = torch.stack([first] * 9 + [second] * 11)[None]
    assert refine(keys, [6], method=method, min_block=3) == [9]
    assert refine(keys, [6], method=method, min_block=11) == [6]


def test_representatives_are_the_mean_of_the_most_attended_keys() -> None:
    key, mass, spans = drawn(3, 20, 4), drawn(3, 20, seed=1).abs(), [(0, 2), (2, 13), (13, 20)]
    mass[:, 15] = mass[:, 14]
    found = representatives(key, mass, Places.of([(a + 7, b + 7) for a, b in spans]).since(7), 4)
    assert found.shape == (3, 3, 4)
    for event, (first, stop) in enumerate(spans):
        for group in range(3):
            order = sorted(range(first, stop), key=lambda t: -float(mass[group, t]))[:4]
            mean = sum(key[group, t] for t in order) / len(order)
            assert torch.allclose(found[event, group], mean, atol=1e-6)


def test_events_keep_their_representatives_layer_by_layer_and_recall_none_that_left_later() -> None:
    events, drawn_vectors = Events(0, 3, 4, [torch.device("cpu")] * 2), drawn(600, 2, 3, 4)
    events.common = {layer: drawn(3, 1, 4, seed=layer) for layer in range(2)}
    events.starts = list(range(0, 10 * 601, 10))
    assert [events.outside(position) for position in (-5, 9, 10, 99, 9999)] == [0, 0, 1, 9, 600]
    for first, until in ((0, 250), (250, 520), (520, 600)):  # blocks have 256
        events.leave(until)
        for layer in range(2):
            events.represent(layer, first, drawn_vectors[first:until, layer])
    vectors = events.representatives(0)
    assert torch.allclose(vectors, drawn_vectors, atol=0.03)
    assert torch.equal(events.representatives(590), vectors[590:])
    assert events.outside(99) == 600  # they have left already
    for outside in (0, 255, 256, 257, 600):
        query = vectors[outside : outside + 1, 1] if outside < 600 else vectors[:1, 1]  # most like one that left later
        found, scores, _ = events.recall(1, query, [], outside=outside, budget=100, contiguity=0.0)
        every = score_events(query, vectors[:outside, 1], vectors[: min(outside, 256), 1].mean(0))[0]
        assert found == sorted(every.topk(min(10, outside)).indices.tolist())
        assert scores == pytest.approx(every[found].tolist(), abs=1e-5)


def test_scores_are_dot_products_less_those_of_the_common_part_summed_over_heads() -> None:
    query, vectors, common = drawn(2, 3, 4), drawn(7, 3, 4, seed=1), drawn(3, 4, seed=2)
    found = score_events(query, vectors, common)
    for row in range(2):
        for event in range(7):
            expected = sum(
                float(query[row, head] @ vectors[event, head] - query[row, head] @ common[head]) for head in range(3)
            )
            assert float(found[row, event]) == pytest.approx(expected, abs=1e-4)


def test_recall_keeps_its_budget_and_takes_no_event_twice() -> None:
    draw = random.Random(1)
    for trial in range(100):
        count = draw.randint(1, 60)
        lengths = torch.tensor([draw.randint(2, 12) for _ in range(count)])
        queue = draw.sample(range(count), draw.randint(0, min(5, count)))
        scores = drawn(count, seed=trial)
        hits, near, after = choose_events(scores, lengths, budget=40, contiguity=0.3, queue=queue)
        taken = [*hits, *near]
        assert len(set(taken)) == len(taken)
        assert set(after) <= {*near, *queue}
        if int(lengths.sum()) <= 40:
            assert sorted(taken) == list(range(count))
        else:
            assert 28 < int(lengths[taken].sum()) <= 40
            assert int(scores.argmax()) in hits


def test_neighbours_of_a_hit_come_along() -> None:
    scores, lengths = torch.zeros(30), torch.full((30,), 10)
    scores[12] = 5.0
    hits, near, _ = choose_events(scores, lengths, budget=30, contiguity=0.67, queue=[])
    assert (hits, near) == ([12], [11, 13])
    assert choose_events(scores, lengths, budget=30, contiguity=0.0, queue=[])[1] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_bits_are_close_and_rounding_again_changes_nothing(dtype: torch.dtype) -> None:
    x = torch.cat([drawn(3, 50, 16) * 7, torch.zeros(3, 1, 16)], dim=1).to(dtype)
    once = round_trip(x)
    assert torch.equal(round_trip(once), once)
    assert torch.equal(dequantize(*quantize(once), dtype), once)
    most = x.float().abs().amax(-1, keepdim=True)
    assert bool(((once.float() - x.float()).abs() <= most / 127 + 1e-6).all())
