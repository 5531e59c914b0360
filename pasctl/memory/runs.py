"""Runs: texts that were each read in a window of their own, and a memory that is put together from them.

Keys are kept unrotated, so a run can stand anywhere in a memory: none of its keys and values depends on other runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pasctl.memory.codec import common_part, segment_tensors
from pasctl.memory.queries import UsualQueries
from pasctl.memory.reader import Reader
from pasctl.memory.recall import MemoryState
from pasctl.memory.representatives import Places, representatives
from pasctl.memory.retrieval import OFFSET_EVENTS
from pasctl.memory.rounded import Rounded
from pasctl.memory.window import Window

Write = Callable[[int, dict[str, Tensor]], Path]
"""Writes keys and values of segment number n of a run and gives the file they are in."""


@dataclass(frozen=True, eq=False)
class Run:
    """A text that was read by itself, without what the chat template writes before it.

    Attributes:
        ids: its tokens.
        surprise: float32 [n].
        starts: first token of each event, the first one 0.
        representatives: of the events, [E, L, G, D].
        common: what they are rounded without, float32 [L, G, D].
        usual: what its chunks look for, those of a short text too.
        segments: the files of its keys and values, with the number of their tokens, in order.
    """

    ids: np.ndarray
    surprise: Tensor
    starts: tuple[int, ...]
    representatives: Rounded
    common: Tensor
    usual: UsualQueries
    segments: tuple[tuple[Path, int], ...]


class _Writer:
    """Writes a run's segments as they fill, and lets the reader read them from their files."""

    def __init__(self, write: Write, int8: bool, skipped: int) -> None:
        self._write, self._int8, self._skipped = write, int8, skipped
        self.segments: list[tuple[Path, int]] = []

    def segment(self, reader: Reader, start: int, stop: int) -> None:
        """Write one (called by the reader)."""
        keys_values = reader.past.segments.read_all_layers(start, stop)
        path = self._write(len(self.segments), segment_tensors(*keys_values, self._int8, reader.past.offsets))
        reader.past.segments.replace_with_file(self._skipped + len(self.segments), path)
        self.segments.append((path, stop - start))


def read_run(
    reader: Reader,
    opening: Sequence[int],
    ids: Sequence[int],
    write: Write,
    on_pass: Callable[[int], None] = lambda tokens: None,
) -> Run:
    """Read a text by itself.

    Args:
        reader: a fresh one, whose n_init is the number of opening tokens.
        opening: tokens that the chat template writes before the text; they are no part of the run.
        ids: the text's tokens, at least one.
        write: writes the segments.
        on_pass: called with the number of tokens read, after each pass through the model.
    """
    first = len(opening)
    _read_opening(reader, opening)
    # what the template's tokens look for, and what their keys have in common, is not the text's
    reader.past.usual = _no_queries(reader)
    reader.past.events.common = {}
    writer = _Writer(write, reader.params.kv_dtype == "int8", len(reader.past.segments.spans))
    for start in range(0, len(ids), reader.pass_tokens):
        piece = ids[start : start + reader.pass_tokens]
        reader.read(piece, writer)
        on_pass(len(piece))
    reader.flush(writer)
    let_all_leave(reader)
    events = reader.past.events
    starts = tuple(start - first for start in events.starts[:-1])
    kept = (events.rounded(0), events.common_part, reader.past.usual)
    return Run(np.asarray(ids, np.int64), reader.surprise[first:], starts, *kept, tuple(writer.segments))


@torch.inference_mode()
def let_all_leave(reader: Reader) -> None:
    """Let every event leave the window, as at the end of a text that nothing follows; the last one ends there."""
    reader.settle()
    events, end = reader.past.events, len(reader.ids)
    starts = [start for start in [*events.starts, *events.pending] if start < end]
    events.starts, events.pending = [*starts, end], []
    old, new = events.evicted, len(starts)
    if new == old:
        return
    places = Places.of([events.span(event) for event in range(old, new)])
    events.leave(new)
    for layer, window in enumerate(reader.windows):
        own = places.on(window.mass.device).since(window.start)
        vectors = representatives(window.key[0], window.mass[0], own, reader.params.repr_topk)
        events.represent(layer, old, vectors)


@torch.inference_mode()
def run_of(reader: Reader, files: Sequence[Path]) -> Run:
    """A whole memory as a run of another: what its window held and its first tokens become events.

    Args:
        reader: of a text that was read to its end; it is not to be read on.
        files: of its segments, in order.
    """
    let_all_leave(reader)
    events, segments, end = reader.past.events, reader.past.segments, len(reader.ids)
    first = min(events.starts[0], end)
    early = list(range(0, first, reader.params.max_block))
    bounds = [*early, first]
    # how much attention these have received is no longer known
    means = [segments.read_all_layers(a, b)[0].float().mean(2) for a, b in pairwise(bounds)]
    common, vectors = events.common_part, events.rounded(0)
    vectors = Rounded.joined([Rounded.of(torch.stack(means), common), vectors]) if means else vectors
    tokens = [stop - start for start, stop in segments.spans]
    starts = (*early, *events.starts[:-1])
    parts = tuple(zip(files, tokens, strict=True))
    return Run(np.asarray(reader.ids, np.int64), reader.surprise, starts, vectors, common, reader.past.usual, parts)


@torch.inference_mode()
def join_runs(reader: Reader, opening: Sequence[int], runs: Iterable[Run], *, attach: bool = True) -> None:
    """Make a fresh reader's memory of runs: all their events are outside the window, which has nothing but the opening.

    Args:
        reader: a fresh one, whose n_init is the number of opening tokens.
        opening: tokens that the chat template writes before a text: the initial tokens, which are always attended.
        runs: the runs, in order.
        attach: whether keys and values are wanted.
    """
    _read_opening(reader, opening)
    past, ids, surprise, starts = reader.past, list(reader.ids), [reader.surprise], list[int]()
    kept = list(runs)
    for run in kept:
        begin = len(ids)
        starts += [begin + start for start in run.starts]
        ids += run.ids.tolist()
        surprise.append(run.surprise)
        for path, tokens in run.segments if attach else ():
            past.segments.attach(path, begin, begin + tokens)
            begin += tokens
    end = len(ids)
    past.events.starts = [*starts, end]
    past.events.leave(len(starts))
    past.usual = _no_queries(reader)
    for run in kept:
        past.usual.sums += run.usual.sums
        past.usual.counts += run.usual.counts
    _represent(past, kept)
    reader.ids, reader.surprise, reader.flushed = ids, torch.cat(surprise), end
    _move_windows(reader, len(opening), end)


def _represent(past: MemoryState, runs: Sequence[Run]) -> None:
    """Let what stands for the events of runs stand for the same events of one memory, rounded less one common part."""
    vectors = torch.cat([run.representatives.values() + run.common for run in runs])
    common = common_part(vectors[:OFFSET_EVENTS].permute(1, 2, 0, 3))
    for layer, (rows, device) in enumerate(zip(vectors.unbind(1), past.layers.devices, strict=True)):
        past.events.common[layer] = common[layer].to(device)
        past.events.represent(layer, 0, rows)


def _no_queries(reader: Reader) -> UsualQueries:
    usual = reader.past.usual
    return UsualQueries(torch.zeros_like(usual.sums), torch.zeros_like(usual.counts))


def _read_opening(reader: Reader, opening: Sequence[int]) -> None:
    """Read the opening as a segment of its own."""
    if opening:
        reader.read(opening)
        reader.flush()


def _move_windows(reader: Reader, opening: int, end: int) -> None:
    """Keep the opening as the initial tokens, and begin the windows behind everything.

    Layers with a sliding window of their own have no initial tokens: for them the opening stands right before what is
    asked.
    """
    past = reader.past
    for layer, window in enumerate(reader.windows):
        past.first[layer] = (window.key.clone(), window.value.clone())
        kept = opening if past.layers.sliding[layer] is not None else 0
        key, value, mass = (part[:, :, part.shape[2] - kept :] for part in (window.key, window.value, window.mass))
        places = torch.arange(end - kept, end, device=key.device)[None]
        turned = past.rotary.key(layer, key, past.rotary.angles(layer, places))
        reader.windows[layer] = Window(end - kept, key, turned, value, mass)
