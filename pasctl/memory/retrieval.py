"""Retrieval: which events a chunk recalls, by similarity and by neighbourhood in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor

TIE = 1e-5
"""Events tie whose scores differ by no more than this share of the distance from the best to the worst."""


OFFSET_EVENTS = 256
"""Representatives are compared less the mean of so many first ones: the part that all events have in common."""


def score_events(query: Tensor, representatives: Tensor, offset: Tensor) -> Tensor:
    """Similarity of queries and events, less what all events have in common, summed over heads.

    The common part is taken off before the products and these are summed in float32, whatever the model's dtype: where
    keys have large biases, products with all of a key leave little of what tells events apart.

    Args:
        query: [T, G, D], summed over the query heads of each key-value head; of a chunk its mean, T = 1.
        representatives: [E, G, D].
        offset: float32 [G, D], what they have in common.

    Returns:
        float32 [T, E].
    """
    own = representatives - offset  # float32, as the offset is
    scores: Tensor = query.flatten(1).float() @ own.flatten(1).T
    return scores


def word_similarity(query: Tensor, representatives: Tensor, offset: Tensor, lengths: Tensor) -> Tensor:
    """Similarity of a question's words and events, less what all events have in common, each head at its own scale.

    A head's representative has length 1 here: without that, events with long keys are retrieved whatever is asked.

    Args:
        query: [T, G, D], each less the usual query (see `pasctl.memory.queries.UsualQueries`).
        representatives: [E, G, D].
        offset: float32 [G, D], what they have in common.
        lengths: float32 [E, G] of the representatives less the offset.

    Returns:
        float32 [T, E].
    """
    by_head = torch.einsum("tgd,egd->teg", query.float(), representatives - offset)
    summed: Tensor = (by_head / lengths).sum(-1)
    return summed


def best_word(similarity: Tensor) -> Tensor:
    """Score of each event, float32 [E]: how far it stands out for the word that it fits best.

    Args:
        similarity: float32 [T, E]; each word's is put on one scale, its mean over events 0 and their deviation 1.
    """
    spread, mean = torch.std_mean(similarity, dim=-1, correction=0)
    return standard(similarity, mean, spread).amax(0)


def standard(similarity: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Similarities float32 [T, E] on one scale, by the mean and the deviation [T] of each word's."""
    least = torch.finfo(torch.float32).tiny
    scaled: Tensor = (similarity - mean[:, None]) / spread[:, None].clamp_min(least)
    return scaled


def head_lengths(representatives: Tensor, offset: Tensor) -> Tensor:
    """Length float32 [E, G] of each head's representative [E, G, D] less an offset [G, D]; never 0."""
    lengths: Tensor = torch.linalg.vector_norm(representatives - offset, dim=-1)
    return lengths.clamp_min(1e-6)


def rank_events(scores: Tensor, most: int, lowest: float | None = None) -> list[int]:
    """Events from the best to the worst; of events that tie, the earlier first.

    Two neighbours in the order of scores tie if they differ by no more than `TIE` of the distance from the best score
    to the worst, and what ties with the same event ties. So a constant in all scores changes nothing. Scores carry
    rounding noise that depends on the batch, on chunks that share a pass and on threads; events of text that repeats
    itself have scores that differ by nothing else. The rule moves the place where noise decides from a difference of
    0, where such events stand, to a difference of `TIE`, where none stands by its nature. It cannot remove it: events
    whose scores differ by `TIE`, to within the noise, may still change places. In a run of ties the first and the last
    may differ by more than `TIE`.

    Args:
        scores: float32 [E].
        most: at least so many of the best are wanted.
        lowest: the worst score of all events, if these are not all.

    Returns:
        The best `most` events, and all that tie with the last of them.
    """
    events = len(scores)
    count = most = min(most, events)
    if not most:
        return []
    tolerance = TIE * float(scores.max() - (scores.min() if lowest is None else lowest))
    while True:  # until no run of ties is cut off
        count = min(2 * count, events)
        values, order = scores.topk(count)
        apart = values[:-1] - values[1:] > tolerance
        ends = apart[most - 1 :].nonzero()
        if len(ends) or count == events:
            break
    stop = most + int(ends[0]) if len(ends) else count
    runs = torch.cat([torch.zeros(1, dtype=torch.int64), apart.cumsum(0)])[:stop]
    order = order[:stop]
    ranked: list[int] = order[(runs * events + order).argsort()].tolist()
    return ranked


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
    order = rank_events(scores, budget)
    return fill_budget(order, events, lengths, budget=budget, contiguity=contiguity, queue=queue)


def fill_budget(
    order: Sequence[int], events: int, lengths: Sequence[int], *, budget: int, contiguity: float, queue: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    """What `choose_events` gives, from the best events of so many in their order."""
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
