"""A request while it is written: its prompt is read in pieces, then each token is read that was chosen."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from pasctl.memory.pieces import Pieces
from pasctl.memory.sampling import choose
from pasctl.serving.packed import Span
from pasctl.serving.request import OutOfTimeError, Request
from pasctl.serving.stream import Finish, Stream
from pasctl.serving.texts import PlainText, RecallingText


class Row:
    """One text of a batch.

    Attributes:
        request: what was asked for.
        stream: where its pieces go.
        deadline: when its time is over, by time.monotonic; None is never.
        ended: whether nothing is written any more; the stream is told by `settle`, when the place is free.
    """

    def __init__(self, request: Request, stream: Stream, deadline: float | None) -> None:
        self.request, self.stream, self.deadline, self.ended = request, stream, deadline, False
        self._read = self._coming = 0
        self._end: tuple[Finish | None, BaseException | None] = (None, None)

    def start(self, tokenizer: object, ends: set[int], most: int) -> None:
        """Take a place in the batch.

        Args:
            tokenizer: of the model.
            ends: tokens that end the text.
            most: tokens that it may have at most.
        """
        request = self.request
        self._ends, self._most = ends, most
        self._text = (
            PlainText()
            if request.memory is None
            else RecallingText(request.memory, keep_recalled=request.keep_recalled)
        )
        self._pieces = Pieces(tokenizer, stop=request.stop, strip=request.strip)
        self._generator = torch.Generator().manual_seed(request.how.seed)
        self.stream.started = time.monotonic()

    @property
    def reading(self) -> bool:
        """Whether some of the prompt is still to be read."""
        return self._read < len(self.request.prompt)

    def span(self, budget: int, *, first: bool) -> Span | None:
        """The tokens to read in the next pass; None waits, as the prompt's next piece has no room."""
        prompt, tokens = self.request.prompt, self.stream.tokens
        left = len(prompt) - self._read
        if left:
            self._coming = self._text.size(left, budget, first=first)
            if not self._coming:
                return None
            given, retrieve = list(prompt[self._read : self._read + self._coming]), True
        else:
            given, retrieve = tokens[-1:], (len(tokens) - 1) % self.request.how.retrieve_every == 0
        steered = 0
        if self.request.positions == "answer" and left:
            steered = len(given) - (self._coming == left)
        places = self._text.begin(given, retrieve=retrieve)
        return Span(given, places, self._text, self.request.steering, steered)

    def passed(self) -> bool:
        """A pass has read the tokens of `span`; tells whether a token is to be chosen behind them."""
        self._text.end()
        self._read, self._coming = self._read + self._coming, 0
        return not self.reading

    def choose(self, logits: Tensor) -> None:
        """Write the next token, from logits float32 [1, vocabulary]."""
        [token] = choose(logits, self.request.how, self._generator)
        stream = self.stream
        if stream.first is None:
            stream.first = time.monotonic()
        if token in self._ends:
            self.end("stop")
            return
        stream.tokens.append(token)
        if piece := self._pieces.add(token):
            stream.put(piece)
        if self._pieces.stopped:
            self.end("stop")
        elif len(stream.tokens) >= self._most:
            self.end("length")

    def end(self, reason: Finish | None, error: BaseException | None = None) -> None:
        """Write no more."""
        if self.ended:
            return
        self.ended, self._end = True, (reason, error)
        if self.stream.started is not None:
            if error is None and (piece := self._pieces.finish()):
                self.stream.put(piece)
            self.stream.recalled = tuple(self._text.recalled)
            del self._text  # its keys and values

    def settle(self) -> str:
        """Tell the stream how the text ended; gives the outcome in a word."""
        reason, error = self._end
        self.stream.end(reason, error)
        return "timeout" if isinstance(error, OutOfTimeError) else reason or "error"
