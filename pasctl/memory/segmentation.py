"""Where events begin: boundaries from surprise, or from other rules to compare with, and the lengths allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def surprise_boundaries(surprise: Tensor, *, window: int, gamma: float, start: int = 0) -> Tensor:
    """Which tokens begin an event: s_t > mean + gamma * std of the surprises before it (EM-LLM, equations 1 and 2).

    A spike at t starts an event at t. Each token is judged by its own window, so the answer for a token does not
    depend on how much text follows it.

    Args:
        surprise: float32 [T].
        window: mean and standard deviation are of the last `window` surprises before t; fewer at the text's start.
        gamma: standard deviations above the mean.
        start: first token to judge.

    Returns:
        bool [T - start]; False for the first two tokens, which have nothing to be compared with.
    """
    if start >= len(surprise):
        return torch.zeros(0, dtype=torch.bool)
    past = torch.nn.functional.pad(surprise.double(), (window, 0))[start:-1].unfold(0, window, 1)
    count = torch.arange(start, len(surprise)).clamp_max(window)
    real = torch.arange(window) >= window - count[:, None]
    counted = count.clamp_min(1)
    mean = past.sum(-1) / counted
    spread = (((past - mean[:, None]) * real).square().sum(-1) / counted).sqrt()
    return (count >= 2) & (surprise[start:].double() > mean + gamma * spread)


def fixed_boundaries(start: int, stop: int, every: int) -> Tensor:
    """Events of equal length: bool [stop - start]."""
    return torch.arange(start, stop) % every == 0


def random_boundaries(start: int, stop: int, every: int, seed: int) -> Tensor:
    """Each token begins an event with probability 1 / every, by a hash of its position: bool [stop - start]."""
    mixed = torch.arange(start, stop) * 0x9E3779B97F4A7C1 + seed * 0x2545F4914F6CDD1
    mixed = (mixed ^ (mixed >> 29)) * 0x3F58476D1CE4E5B
    return ((mixed ^ (mixed >> 32)) & 0xFFFFFFFF) % every == 0


def sentence_boundaries(texts: Iterable[str]) -> Tensor:
    """A token begins an event if the one before it ends a sentence or a line: bool [n] for texts of tokens -1..n-1."""
    before = list(texts)[:-1]
    return torch.tensor([text.rstrip(" ").endswith((".", "!", "?", "\n")) for text in before], dtype=torch.bool)


def merge_and_split(candidates: Sequence[int], *, begin: int, end: int, min_block: int, max_block: int) -> list[int]:
    """Event starts with lengths that are allowed: short events merge forward, long ones are cut.

    Each decision depends only on what comes before it, so a text may be given in pieces.

    Args:
        candidates: proposed starts, ascending.
        begin: where the open event started.
        end: behind the last token known.
        min_block: a candidate nearer than this to the event's start is dropped.
        max_block: an event that reaches this length is cut there.

    Returns:
        New starts in (begin, end), ascending.
    """
    starts: list[int] = []
    opened = begin
    for candidate in [*candidates, end]:
        while candidate - opened > max_block:
            opened += max_block
            starts.append(opened)
        if candidate < end and candidate - opened >= min_block:
            opened = candidate
            starts.append(opened)
    return starts
