"""Runs of tokens that are to be forgotten; importable without torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]
"""The first token, and the one behind the last."""


def merged(spans: Sequence[Span]) -> list[Span]:
    """The same tokens as spans that follow each other with gaps between them."""
    joined: list[Span] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif start < stop:
            joined.append((start, stop))
    return joined


def kept_spans(spans: Sequence[Span], start: int, stop: int) -> list[Span]:
    """What is left of the tokens from `start` to `stop` when those of merged `spans` are gone."""
    edges = [start, *(min(max(edge, start), stop) for span in spans for edge in span), stop]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def find_tokens(ids: Sequence[int], wanted: Sequence[int]) -> list[Span]:
    """Where some tokens stand in a text; occurrences do not overlap."""
    text, some = np.asarray(ids, np.int64), np.asarray(wanted, np.int64)
    if not 0 < len(some) <= len(text):
        return []
    spans: list[Span] = []
    for place in np.flatnonzero(text[: len(text) - len(some) + 1] == some[0]).tolist():
        fits = np.array_equal(text[place : place + len(some)], some)
        if fits and (not spans or place >= spans[-1][1]):
            spans.append((place, place + len(some)))
    return spans
