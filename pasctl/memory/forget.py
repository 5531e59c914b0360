"""A memory without some of its tokens: keys, values and words of these are gone, the rest stays as it was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.checkpoint import Written, checkpoint
from pasctl.memory.forget_spans import Span, kept_spans
from pasctl.memory.params import MemoryParams
from pasctl.memory.reader import Reader
from pasctl.memory.steps import SEGMENT_TOKENS
from pasctl.memory.text_bounds import FileSpan, TextBounds
from pasctl.memory.window import Window

Spans = Sequence[Span]
"""Merged, in order."""


def params_without(params: MemoryParams, spans: Spans) -> MemoryParams:
    """The parameters of a memory without some tokens: of its first ones there may be fewer."""
    first = sum(b - a for a, b in kept_spans(spans, 0, params.n_init))
    return replace(params, n_init=first)


@torch.inference_mode()
def write_without(old: Reader, new: Reader, spans: Spans, write: Callable[[int, dict[str, Tensor]], Path]) -> None:
    """Make a fresh reader's memory that of another one without some tokens, and write it down segment by segment.

    An event that loses a part of its tokens is represented by the mean of those that it keeps: which of its keys
    received most attention is no longer known.

    Args:
        old: the memory; its text was read to the end.
        new: a fresh reader, with `params_without`.
        spans: the tokens to leave out, merged.
        write: writes segment number n and gives its file.

    Raises:
        InputError: layers of the model have states, which hold all that was read.
    """
    if old.layer_states is not None:
        raise InputError(
            "the model has layers whose state holds all that was read, so nothing can be left out of it",
            hint="use --reread, which reads the rest anew",
        )
    places = _Places(len(old.ids), spans)
    new.ids = [token for a, b in places.kept(0, len(old.ids)) for token in old.ids[a:b]]
    new.surprise = torch.cat([old.surprise[:0], *(old.surprise[a:b] for a, b in places.kept(0, len(old.ids)))])
    new.flushed, new.tokens_attended = len(new.ids), old.tokens_attended
    new.last_hidden = old.last_hidden
    numbers = _move_events(old, new, places)
    new.queues = [[numbers[event] for event in queue if event in numbers] for queue in old.queues]
    new.past.usual = old.past.usual.fork()
    new.windows = [_without(old, layer, places) for layer in range(len(old.windows))]
    _copy_segments(old, new, places, write)


class _Places:
    """Where tokens stand when some are gone."""

    def __init__(self, tokens: int, spans: Spans) -> None:
        self.spans = spans
        stays = np.ones(tokens + 1, np.int64)
        for start, stop in spans:
            stays[start:stop] = 0
        self._before = np.concatenate([[0], np.cumsum(stays)])

    def of(self, token: int) -> int:
        """The place of a token, or of the first one behind it that stays."""
        return int(self._before[token])

    def kept(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What is left of some tokens."""
        return kept_spans(self.spans, start, stop)


def _move_events(old: Reader, new: Reader, places: _Places) -> dict[int, int]:
    """Give the new memory the events that are left; gives their new numbers by the old ones."""
    before, after = old.past.events, new.past.events
    starts = [*before.starts, *before.pending]
    ends = [*starts[1:], len(old.ids)]
    left = [n for n, (start, stop) in enumerate(zip(starts, ends, strict=True)) if places.of(start) < places.of(stop)]
    numbers = {event: number for number, event in enumerate(left)}
    settled = [places.of(starts[event]) for event in left if event < len(before.starts)]
    pending = [places.of(starts[event]) for event in left if event >= len(before.starts)]
    outside = [event for event in left if event < before.evicted]
    # the last event is open; where it is gone, the next token opens another
    after.starts = settled or [places.of(len(old.ids))]
    if len(after.starts) <= len(outside):
        after.starts.append(pending.pop(0) if pending else places.of(len(old.ids)))
    after.pending = pending
    after.common = dict(before.common)
    after.leave(len(outside))
    after.represent_all(0, before.rounded(0)[outside])
    for event in outside:
        kept = places.kept(starts[event], ends[event])
        if kept != [(starts[event], ends[event])]:
            keys = [old.past.segments.read_all_layers(*span)[0] for span in kept]
            for layer, rows in enumerate(torch.cat(keys, dim=2).float().mean(2)):
                after.represent(layer, numbers[event], rows[None])
    return numbers


def _without(old: Reader, layer: int, places: _Places) -> Window:
    """A layer's window without the tokens that are gone, its keys rotated to their new places."""
    window, rotary = old.windows[layer], old.past.rotary
    spans = [(a - window.start, b - window.start) for a, b in places.kept(window.start, len(old.ids))]

    def left(tensor: Tensor) -> Tensor:
        return torch.cat([tensor[:, :, :0], *(tensor[:, :, a:b] for a, b in spans)], dim=2)

    key, start = left(window.key), places.of(window.start)
    positions = torch.arange(start, start + key.shape[2], device=key.device)[None]
    turned = rotary.key(layer, key, rotary.angles(layer, positions))
    return Window(start, key, turned, left(window.value), left(window.mass))


def _copy_segments(old: Reader, new: Reader, places: _Places, write: Callable[[int, dict[str, Tensor]], Path]) -> None:
    cuts = [*range(0, len(old.ids), SEGMENT_TOKENS), len(old.ids)]
    for start, stop in pairwise(cuts):
        kept = places.kept(start, stop)
        if not kept:
            continue
        key, value = (
            torch.cat(parts, dim=2)
            for parts in zip(*(old.past.segments.read_all_layers(*s) for s in kept), strict=True)
        )
        begin, number = places.of(start), len(new.past.segments.spans)
        new.past.segments.append(begin, key, value)
        path = write(number, checkpoint(new, begin, begin + key.shape[2], Written.by(new) if number else Written()))
        new.past.segments.replace_with_file(number, path)


def bounds_without(bounds: Sequence[TextBounds], spans: Spans) -> list[TextBounds]:
    """Which characters of which files the tokens that are left come from; digests of what was cut are gone too."""
    places = _Places(max((part.stop for part in bounds), default=0), spans)
    left = []
    for part in bounds:
        whole = places.kept(part.first, part.stop) == [(part.first, part.stop)]
        for start, stop in places.kept(part.first, part.stop):
            starts = part.starts[start - part.first : stop - part.first + 1]
            files = part.files if whole else tuple(_clipped(part.files, int(starts[0]), int(starts[-1])))
            left.append(TextBounds(places.of(start), starts, part.newlines, files))
    return left


def _clipped(files: Sequence[FileSpan], low: int, high: int) -> list[FileSpan]:
    return [replace(file, digest="") for file in files if file.start < high and file.stop > low]
