"""Retrieval: which events a chunk recalls, by similarity and by neighbourhood in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from torch import Tensor


def score_events(query: Tensor, representatives: Tensor) -> Tensor:
    """Similarity of queries and events, summed over heads.

    Args:
        query: [B, G, D], the chunk's mean query, summed over the query heads of each key-value head.
        representatives: [E, G, D].

    Returns:
        float32 [B, E].
    """
    return (query.flatten(1) @ representatives.flatten(1).T).float()


def choose_events(
    scores: Tensor, lengths: Sequence[int], *, budget: int, contiguity: float, queue: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    """Events to attend within a budget of tokens (EM-LLM, section 3.4).

    The best events fill the share that similarity has; events next to them enter a queue at its front, from which the
    contiguity share is filled; what is left of the budget goes to the next best. No event is taken twice.

    Args:
        scores: float32 [E].
        lengths: tokens of each event; what is behind the first E is not looked at.
        budget: tokens.
        contiguity: share of the budget for neighbours.
        queue: neighbours from earlier chunks, the newest first.

    Returns:
        Events found by similarity, neighbours, and the new queue: those neighbours that were taken.
    """
    # no event is empty: more than `budget` of them never fit, and the best `budget` are more than can be taken
    events = len(scores)
    if sum(islice(lengths, min(events, budget + 1))) <= budget:
        return list(range(events)), [], list(queue)
    order = scores.topk(min(budget, events)).indices.tolist()
    taken: set[int] = set()
    share = round(budget * (1 - contiguity))
    hits, used = _take(order, lengths, share, taken)
    neighbours: list[int] = []
    if contiguity > 0:
        beside = [near for hit in hits for near in (hit - 1, hit + 1) if 0 <= near < events]
        neighbours, more = _take(dict.fromkeys([*beside, *queue]), lengths, budget - share, taken)
        used += more
    extra, _ = _take(order, lengths, budget - used, taken)
    return [*hits, *extra], neighbours, neighbours


def _take(events: Iterable[int], lengths: Sequence[int], budget: int, taken: set[int]) -> tuple[list[int], int]:
    """Events in their order up to the first that does not fit; those taken already are passed over."""
    found: list[int] = []
    used = 0
    for event in events:
        if event in taken:
            continue
        used += lengths[event]
        if used > budget:
            return found, used - lengths[event]
        found.append(event)
        taken.add(event)
    return found, used
