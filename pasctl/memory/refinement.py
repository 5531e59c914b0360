"""Refinement: boundaries move to where the tokens' keys fall apart most clearly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def similarity(keys: Tensor) -> Tensor:
    """The graph of n tokens: A = sum over layers of K K^T, negative weights and the diagonal set to 0.

    Args:
        keys: [L, n, width], the heads side by side.

    Returns:
        float64 [n, n].
    """
    keys = keys.double()
    graph = torch.einsum("lid,ljd->ij", keys, keys).clamp_min(0)
    return graph.fill_diagonal_(0)


def split_scores(graph: Tensor, method: str) -> Tensor:
    """How good each split of a run of tokens in two is; higher is better (EM-LLM, equations 3 and 4).

    modularity: sum over both sides c of (inside_c / 2m - (degrees_c / 2m)^2); conductance: minus
    cut / min(degrees of the sides). All splits are read off one 2-D prefix sum.

    Args:
        graph: float64 [n, n], symmetric and non-negative.
        method: modularity or conductance.

    Returns:
        float64 [n + 1]; entry b is the split into [0, b) and [b, n), whose ends 0 and n are no splits.
    """
    sums = torch.nn.functional.pad(graph.cumsum(0).cumsum(1), (1, 0, 1, 0))
    whole = sums[-1, -1].clamp_min(torch.finfo(torch.float64).tiny)
    left_degrees = sums[:, -1]
    right_degrees = whole - left_degrees
    left = sums.diagonal()
    cut = left_degrees - left
    right = right_degrees - cut
    if method == "modularity":
        return (left + right) / whole - (left_degrees / whole).square() - (right_degrees / whole).square()
    return -cut / torch.minimum(left_degrees, right_degrees).clamp_min(torch.finfo(torch.float64).tiny)


def refine(keys: Tensor, starts: Sequence[int], *, method: str, min_block: int) -> list[int]:
    """Move each inner boundary to the best split between its neighbours.

    Args:
        keys: [L, n, width], unrotated keys of a run of tokens.
        starts: inner boundaries within (0, n), ascending.
        method: modularity or conductance.
        min_block: both events keep at least this many tokens; without room for that a boundary stays.

    Returns:
        The boundaries, ascending; each was moved between the one before, already moved, and the one after.
    """
    moved: list[int] = []
    ends = [*starts[1:], keys.shape[1]]
    for boundary, after in zip(starts, ends, strict=True):
        before = moved[-1] if moved else 0
        low, high = before + min_block, after - min_block
        if low <= high:
            scores = split_scores(similarity(keys[:, before:after]), method)
            boundary = low + int(scores[low - before : high - before + 1].argmax())
        moved.append(boundary)
    return moved
