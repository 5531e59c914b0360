"""Reading a text into memory, pass by pass: attend, measure surprise, cut events, let them leave the window."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.attention_layers import attention_layers, changes_beyond, has_key_biases, require_reach
from pasctl.memory.chunks import ChunkedPass
from pasctl.memory.events import Events
from pasctl.memory.growing import GrowingNumbers
from pasctl.memory.params import MemoryParams
from pasctl.memory.queries import UsualQueries
from pasctl.memory.recall import MemoryState, Recalled
from pasctl.memory.refinement import refine
from pasctl.memory.rotary import Rotary
from pasctl.memory.segmentation import (
    fixed_boundaries,
    merge_and_split,
    random_boundaries,
    sentence_boundaries,
    surprise_boundaries,
)
from pasctl.memory.segments import Segments
from pasctl.memory.steps import pass_tokens, segment_tokens
from pasctl.memory.surprise import token_surprise
from pasctl.memory.vectors import Similarity
from pasctl.memory.window import Window
from pasctl.models.attention import own_attention, run_backbone
from pasctl.models.layer_states import LayerStates
from pasctl.models.load import LoadedModel


class Listener(Protocol):
    """Told when a segment of the text is complete, so that it can be written down."""

    def segment(self, reader: Reader, start: int, stop: int) -> None:
        """Tokens start..stop have been read, and nothing about them changes any more but what `state` holds."""


class Reader:
    """A text that is being read, and everything known about it so far.

    Attributes:
        ids: token ids read.
        surprise: -log p of each token given those before it, float32; 0 for the very first. In a fork it may end up to
            n_local - 2 * max_block tokens before the text does (see `fork`).
        past: events, keys and values.
        windows: the local window, one a layer.
        layer_states: of the layers that have one of their own, at the end of what was read; None if the model has none.
        tokens_attended: far keys attended, summed over layers and chunks.
        log: what was recalled in the last pass.
        pass_tokens: tokens of one pass through the model: as many chunks as may run at once.
        segment_tokens: a segment is made of at least so many, and of a text's end.
    """

    def __init__(self, model: LoadedModel, params: MemoryParams, *, lazy: bool = False) -> None:
        """Begin before the first token.

        Args:
            model: what reads.
            params: how events are cut and retrieved.
            lazy: measure surprise only when the window is about to leave what it cuts, as it is in a fork.
        """
        layers, dtype = attention_layers(model), model.model.dtype
        count = len(layers.layers)
        require_reach(layers, params, model.adapter.family)
        self.model, self.params = model, params
        shape = (layers.kv_heads, layers.head_dim, dtype)
        kind: Similarity = "mean" if params.query == "mean" else "words"
        index = [None if params.exact_recall or sliding is not None else kind for sliding in layers.sliding]
        kept = layers.devices if params.representatives == "device" else [torch.device("cpu")] * count
        events = Events(params.n_init, *shape[:2], kept, index=index, on_disk=params.representatives == "disk")
        rotary = Rotary([layer.rotation for layer in layers.layers], layers.devices, dtype)
        usual, segments = UsualQueries.none(count, *shape[:2]), Segments(count, *shape)
        self.past = MemoryState(params, layers, rotary, events, segments, usual, wide=has_key_biases(model))
        self.windows = [Window.empty(*shape, device) for device in layers.devices]
        self.queues: list[list[int]] = [[] for _ in range(count)]
        self.layer_states = LayerStates.of(model)
        self.ids: list[int] = []
        self._surprise = GrowingNumbers()
        self.tokens_attended = 0
        self.log: list[Recalled] = []
        self.last_hidden: Tensor | None = None
        self.flushed = 0
        # last hidden states of tokens whose surprise is not known yet, and how many such there may be
        self._unmeasured: list[Tensor] = []
        self._patience = params.n_local - 2 * params.max_block if lazy else 0
        self.pass_tokens, self.segment_tokens = pass_tokens(params), segment_tokens(params)
        self.refine_layers = self._refine_layers()

    @property
    def surprise(self) -> Tensor:
        """-log p of each token given those before it."""
        return self._surprise.values

    @surprise.setter
    def surprise(self, values: Tensor) -> None:
        self._surprise = GrowingNumbers()
        self._surprise.append(values)

    def _refine_layers(self) -> list[int]:
        """Places of the layers whose keys refinement looks at.

        Raises:
            InputError: one that the model has not, or that has a sliding window of its own; or none to refine by.
        """
        able = [layer.number for layer in self.past.layers.layers if layer.sliding is None]
        wanted = self.params.refine_layers
        for layer in wanted or ():
            if layer not in able:
                known = ", ".join(map(str, able))
                raise InputError(f"refine_layers has {layer}, expected layers of this model with a memory: {known}")
        layers = able if wanted is None else list(wanted)
        if self.params.refine != "none" and not layers:
            raise InputError("refine has no layer to look at: it needs one that takes memory", hint="use refine none")
        return [self.past.layers.place(layer) for layer in layers]

    @torch.inference_mode()
    def read(self, ids: Sequence[int], listener: Listener | None = None) -> None:
        """Read more tokens, `pass_tokens` at a time.

        Raises:
            InputError: keys keep their places, and the text is longer than the model does the same for.
        """
        self._require_place(len(self.ids) + len(ids))
        with own_attention(self.model):
            for start in range(0, len(ids), self.pass_tokens):
                piece = list(ids[start : start + self.pass_tokens])
                step = self.begin(len(piece))
                hidden = run_backbone(self.model, torch.tensor([piece]), step, states=self.layer_states)[0]
                self.end(piece, step, hidden, listener)

    def begin(
        self,
        tokens: int,
        *,
        chosen: list[list[int]] | None = None,
        words: Sequence[int] | None = None,
        step: int | None = None,
    ) -> ChunkedPass:
        """What attends in a pass over the next tokens, at most `pass_tokens`; `end` is to follow it.

        Args:
            tokens: their number.
            chosen: layer -> events retrieved by an earlier pass, to use again; None retrieves anew.
            words: places of tokens that each look for events, in a pass of one chunk; None looks by the mean query.
            step: number of the pass, for the log; None is that of the first token.

        Raises:
            InputError: keys keep their places, and the text gets longer than the model does the same for.
        """
        self._require_place(len(self.ids) + tokens)
        size = self.params.chunk
        chunks = [min(size, tokens - start) for start in range(0, tokens, size)]
        return ChunkedPass(
            self.past, self.windows, self.queues, len(self.ids), chunks, chosen=chosen, words=words, step=step
        )

    @torch.inference_mode()
    def end(self, ids: Sequence[int], step: ChunkedPass, hidden: Tensor, listener: Listener | None = None) -> None:
        """Take in the tokens of a pass, with their last hidden states [n, hidden]."""
        self.tokens_attended += step.attended
        self.log = step.log
        self.ids += ids
        self._unmeasured.append(hidden)
        if len(self.ids) - len(self.surprise) > self._patience:
            self.settle()
        if len(self.ids) - self.flushed >= self.segment_tokens:
            self.flush(listener)

    @torch.inference_mode()
    def settle(self) -> None:
        """Measure all surprise, and find the events that it shows."""
        if self._unmeasured:
            measured = len(self.surprise)
            self._measure()
            self._cut(measured)

    def fork(self) -> Reader:
        """A reader that goes on after the same text, and leaves this one as it is.

        It is for a question and its answer, which are seldom so long that a part of them leaves the window. Until then
        nobody needs to know where their events begin, and so their surprise is measured only when it is time.
        """
        fork, past = copy.copy(self), self.past
        events, segments = past.events.fork(), past.segments.fork()
        fork.past = replace(past, events=events, segments=segments, first=dict(past.first), usual=past.usual.fork())
        fork.windows = [window.fork() for window in self.windows]
        fork.queues = [list(queue) for queue in self.queues]
        fork.layer_states = None if self.layer_states is None else self.layer_states.fork()
        fork.ids, fork._unmeasured, fork.log = list(self.ids), list(self._unmeasured), []
        fork._surprise = self._surprise.fork()
        fork._patience = self.params.n_local - 2 * self.params.max_block
        return fork

    def _require_place(self, tokens: int) -> None:
        limit = self.past.layers.limit
        if limit is not None and self.params.positions == "true" and tokens > limit:
            raise InputError(
                f"{changes_beyond(self.model.adapter.family, limit)}, and the text has {tokens}",
                hint="use --positions compact, which puts what is retrieved near",
            )

    @torch.inference_mode()
    def flush(self, listener: Listener | None = None) -> None:
        """Make a segment of the tokens read since the last one, a short one at the end of a text."""
        if listener is not None:
            self.settle()
        start, stop = self.flushed, len(self.ids)
        if start == stop:
            return
        key, value = (self._run(name, start, stop, reuse=listener is not None) for name in ("key", "value"))
        self.past.segments.append(start, key.cpu(), value.cpu())
        self.flushed = stop
        if listener is not None:
            listener.segment(self, start, stop)

    def _run(self, name: str, start: int, stop: int, *, reuse: bool) -> Tensor:
        """Keys or values [L, G, stop - start, D] of all layers, in a buffer to be used again if they go to a file."""
        parts = [getattr(w, name)[0, :, start - w.start : stop - w.start] for w in self.windows]
        if len({part.device for part in parts}) > 1:
            parts = [part.cpu() for part in parts]
        room = self.past.scratch.take(f"segment {name}", parts[0], len(parts), *parts[0].shape) if reuse else None
        return torch.stack(parts, out=room)

    def _measure(self) -> None:
        """Surprise of the tokens whose is not known yet; each needs the hidden state before it."""
        hidden = self._unmeasured[0] if len(self._unmeasured) == 1 else torch.cat(self._unmeasured)
        targets, states = torch.tensor(self.ids[len(self.surprise) :], device=hidden.device), hidden
        if self.last_hidden is None:
            found = torch.zeros(1)
            targets, states = targets[1:], hidden[:-1]
        else:
            found = torch.empty(0)
            states = torch.cat([self.last_hidden.to(hidden.device), hidden[:-1]])
        if len(targets):
            model = self.model
            measured = token_surprise(states, targets, model.tile_logits, model.vocabulary, model.vocabulary_tile)
            found = torch.cat([found, measured.float().cpu()])
        self._surprise.append(found)
        self.last_hidden, self._unmeasured = hidden[-1:].clone(), []

    def _cut(self, begin: int) -> None:
        """Find the events' starts in the tokens from `begin` on."""
        params, events, end = self.params, self.past.events, len(self.ids)
        candidates = (self._boundaries(begin, end).nonzero()[:, 0] + begin).tolist()
        found = merge_and_split(
            candidates, begin=events.open, end=end, min_block=params.min_block, max_block=params.max_block
        )
        if params.refine == "none":
            events.starts += found
            return
        events.pending += found
        while len(events.pending) > 1:
            events.starts.append(self._refined(events.starts[-1], *events.pending[:2]))
            del events.pending[0]

    def _boundaries(self, begin: int, end: int) -> Tensor:
        params, every = self.params, 2 * self.params.min_block
        if params.segmenter == "surprise":
            return surprise_boundaries(self.surprise, window=params.n_local, gamma=params.gamma, start=begin)
        if params.segmenter == "fixed":
            return fixed_boundaries(begin, end, every)
        if params.segmenter == "random":
            return random_boundaries(begin, end, every, params.seed)
        decode = self.model.tokenizer.decode
        before = (
            [decode([token]) for token in self.ids[begin - 1 : end]] if begin else ["", *map(decode, self.ids[:end])]
        )
        return sentence_boundaries(before)

    def _refined(self, before: int, boundary: int, after: int) -> int:
        """A boundary at its best place between its neighbours, unless an event would get too long."""
        windows = [self.windows[layer] for layer in self.refine_layers]
        keys = torch.stack(
            [
                w.key[0, :, before - w.start : after - w.start].transpose(0, 1).flatten(1).to(windows[0].key.device)
                for w in windows
            ]
        )
        [moved] = refine(keys, [boundary - before], method=self.params.refine, min_block=self.params.min_block)
        moved += before
        longest = max(moved - before, after - moved)
        return moved if longest <= self.params.max_block else boundary
