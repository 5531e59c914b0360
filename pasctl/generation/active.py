"""A request while it is written: its prompt is read in parts, then each token is read that was chosen."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from pasctl.generation.detokenizer import IncrementalDetokenizer
from pasctl.generation.packed import PackedSegment
from pasctl.generation.request import OutOfTimeError, Request
from pasctl.generation.sampling import sample
from pasctl.generation.stream import Finish, Stream
from pasctl.generation.text_state import PlainTextState, TextState


class ActiveRequest:
    """One request of a batch: one text, or several that are read in step until the last of them has ended.

    Attributes:
        request: what was asked for.
        streams: where the texts' deltas go, one per prompt.
        deadline: when its time is over, by time.monotonic; None is never.
        ended: whether nothing is written any more; the streams end by `settle`, when the place is free.
        error: why it failed, if it did.
    """

    def __init__(self, request: Request, streams: Sequence[Stream], deadline: float | None = None) -> None:
        self.request, self.streams, self.deadline, self.ended = request, streams, deadline, False
        self._read = self._coming = self._written = 0
        self._chosen: list[int] = []
        self._finish: list[Finish | None] = [None] * len(streams)
        self.error: BaseException | None = None
        self._state: TextState = PlainTextState()

    def start(self, tokenizer: object, ends: set[int], limit: int) -> None:
        """Take a place in the batch.

        Args:
            tokenizer: of the model.
            ends: tokens that end a text.
            limit: peak number of tokens per text.
        """
        request, memory = self.request, self.request.memory
        self._ends, self._limit = ends, limit
        if memory is not None:
            self._state = memory.text_state(len(self.streams), keep_retrieved=request.keep_recalled)
        self._texts = [IncrementalDetokenizer(tokenizer, stop=request.stop, strip=request.strip) for _ in self.streams]
        self._generator = torch.Generator().manual_seed(request.how.seed)
        self._hidden: list[Tensor] = [torch.empty(0)] * len(self.streams)
        for stream in self.streams:
            stream.started = time.monotonic()

    @property
    def reading(self) -> bool:
        """Whether some of a prompt is still to be read."""
        return self._read < self.request.longest

    def segment(self, budget: int, *, first: bool) -> PackedSegment | None:
        """The tokens to read in the next pass; None waits, as the prompt's next part has no room."""
        request = self.request
        if self.reading:
            self._coming = self._state.size(request.longest - self._read, budget, first=first)
            if not self._coming:
                return None
            self._rows, retrieve = request.part(self._read, self._read + self._coming), True
        else:
            # a text that has ended goes on unseen until the others of its request have
            self._rows = [[token] for token in self._chosen]
            retrieve = (self._written - 1) % request.how.retrieve_every == 0
        positions = self._state.begin(self._rows, retrieve=retrieve)
        steered = request.steered(self._read, self._coming) if self.reading else None
        return PackedSegment(self._rows, positions, self._state, request.steering, steered)

    def passed(self, hidden: Tensor) -> Tensor | None:
        """A pass has read the tokens of `segment`.

        Args:
            hidden: states [n, hidden] at the last token of each row that had any.

        Returns:
            States [rows, hidden] that the next tokens are to be chosen from; None if more of a prompt is to be read.
        """
        self._state.end()
        if not self.reading:
            return hidden
        self._read, self._coming = self._read + self._coming, 0
        for row, state in zip([row for row, tokens in enumerate(self._rows) if tokens], hidden, strict=True):
            self._hidden[row] = state
        return None if self.reading else torch.stack(self._hidden)

    def choose(self, logits: Tensor) -> None:
        """Write the next token of each text, from logits float32 [rows, vocabulary]."""
        self._chosen, self._written = sample(logits, self.request.how, self._generator), self._written + 1
        for row, token in enumerate(self._chosen):
            if self._finish[row] is None:
                self._write(row, token)
        if all(self._finish):
            self.ended, self._state = True, PlainTextState()  # its keys and values go

    def _write(self, row: int, token: int) -> None:
        stream, text = self.streams[row], self._texts[row]
        if stream.first is None:
            stream.first = time.monotonic()
        if token in self._ends:
            self._close(row, "stop")
            return
        stream.tokens.append(token)
        if delta := text.add(token):
            stream.put(delta)
        if text.stopped:
            self._close(row, "stop")
        elif len(stream.tokens) >= self._limit:
            self._close(row, "length")

    def _close(self, row: int, reason: Finish) -> None:
        """A text has ended; what its memory retrieves from now on belongs to nothing."""
        self._finish[row] = reason
        if delta := self._texts[row].finish():
            self.streams[row].put(delta)
        self.streams[row].recalled = self._state.retrieved(row)

    def end(self, error: BaseException | None = None) -> None:
        """Write no more: the request was cancelled, or has failed."""
        if self.ended:
            return
        self.ended, self.error = True, error
        for row, stream in enumerate(self.streams):
            if error is None and self._finish[row] is None and stream.started is None:
                self._finish[row] = "cancelled"
            elif error is None and self._finish[row] is None:
                self._close(row, "cancelled")
        self._state = PlainTextState()

    def settle(self) -> str:
        """End the streams; gives the outcome in a word."""
        for stream, reason in zip(self.streams, self._finish, strict=True):
            stream.end(None if self.error else reason, self.error)
        if self.error is not None:
            return "timeout" if isinstance(self.error, OutOfTimeError) else "error"
        return self._finish[0] or "error"
