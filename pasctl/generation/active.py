"""A request while it is written: its prompt is read in parts, then each token is read that was chosen."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from pasctl.generation.detokenizer import IncrementalDetokenizer
from pasctl.generation.grammars import grammars_of
from pasctl.generation.likelihoods import PromptLikelihoods, token_likelihoods
from pasctl.generation.matcher import StructuredText
from pasctl.generation.packed import PackedSegment
from pasctl.generation.prefix_cache import CachedText, PrefixCache
from pasctl.generation.request import OutOfTimeError, Request
from pasctl.generation.sampling import AlteredLogits, sample
from pasctl.generation.stream import Finish, Stream
from pasctl.generation.text_state import PlainTextState, TextState
from pasctl.models.load import LoadedModel


class ActiveRequest:
    """One request of a batch.

    Attributes:
        request: what was asked for.
        stream: where the text's deltas go.
        deadline: when its time is over, by time.monotonic; None is never.
        ended: whether nothing is written any more; the stream ends by `settle`, when the place is free.
        error: why it failed, if it did.
    """

    def __init__(self, request: Request, stream: Stream, deadline: float | None = None) -> None:
        self.request, self.stream, self.deadline, self.ended = request, stream, deadline, False
        self._read = self._coming = self._written = 0
        self._chosen = 0
        self._finish: Finish | None = None
        self.error: BaseException | None = None
        self._state: TextState = PlainTextState()
        self._cached: CachedText | None = None
        self._ids: list[int] = []

    def start(self, model: LoadedModel, ends: set[int], limit: int, prefixes: PrefixCache | None = None) -> None:
        """Take a place in the batch.

        Args:
            model: reads and writes.
            ends: tokens that end a text.
            limit: peak number of tokens of the text.
            prefixes: beginnings of other texts, and of this one afterwards.
        """
        request, memory = self.request, self.request.memory
        self._ends, self._limit = request.rules.ends(ends), limit
        if memory is not None:
            self._state = memory.text_state(request.prompt, keep_retrieved=request.keep_recalled)
        elif prefixes is not None:
            self._cached = prefixes.text(request)
        self._text = IncrementalDetokenizer(model.tokenizer, stop=request.stop, strip=request.strip)
        rules, top = request.rules, request.prompt_logprobs
        self._altered = (
            AlteredLogits(rules, request.prompt, ends | rules.stop_token_ids) if rules.alters_logits else None
        )
        self._structured = (
            None
            if rules.structure is None
            else StructuredText(grammars_of(model), rules.structure, usual=ends, ends=self._ends)
        )
        self._prompt = None if top is None else PromptLikelihoods(model, request.prompt, top)
        self._generator = torch.Generator().manual_seed(request.how.seed)
        self.stream.started = time.monotonic()

    @property
    def reading(self) -> bool:
        """Whether some of the prompt is still to be read."""
        return self._read < len(self.request.prompt)

    def waits(self, before: Sequence[ActiveRequest]) -> bool:
        """Whether one of the texts that joined before is just being read and begins like this one."""
        if self._cached is None:
            return False
        return self._cached.waits(row._cached for row in before if row.reading and row._cached is not None)

    def segment(self, budget: int, *, first: bool) -> PackedSegment | None:
        """The tokens to read in the next pass; None waits, as the prompt's next part has no room."""
        request = self.request
        if self.reading:
            left = self._left()
            self._coming = self._state.size(left, budget, first=first)
            if not self._coming:
                return None
            ids, retrieve = list(request.prompt[self._read : self._read + self._coming]), True
        else:
            ids, retrieve = [self._chosen], (self._written - 1) % request.how.retrieve_every == 0
        self._ids, positions = ids, self._state.begin(ids, retrieve=retrieve)
        steered = request.steered(self._read, self._coming) if self.reading else None
        return PackedSegment(ids, positions, self._state, request.steering, steered)

    def _left(self) -> int:
        """Tokens of the prompt to read next, after what is stored of it."""
        if self._cached is None:
            return len(self.request.prompt) - self._read
        if not self._cached.begun:
            self._state = self._cached.begin()
            self._read = self.stream.cached_tokens = self._cached.reused
        return self._cached.cut(len(self.request.prompt) - self._read)

    def passed(self, hidden: Tensor) -> Tensor | None:
        """A pass has read the tokens of `segment`, with last hidden states [n, hidden].

        Returns:
            The state [1, hidden] that the next token is to be chosen from; None if more of the prompt is to be read.
        """
        if self.reading and self._prompt is not None:
            self._prompt.add(hidden)
        self._state.end(hidden)
        if self._cached is not None and isinstance(self._state, PlainTextState):
            self._cached.ran(self._ids, self._state)
        was_reading, self._read, self._coming = self.reading, self._read + self._coming, 0
        if self.reading:
            return None
        if was_reading and self._prompt is not None:
            self.stream.prompt_likelihoods = self._prompt.found
        if self.request.prompt_only:
            self._close("length")
            self._release()
            return None
        return hidden[-1:]

    def choose(self, logits: Tensor) -> None:
        """Write the next token, from logits float32 [1, vocabulary]."""
        request = self.request
        altered = logits if self._altered is None else self._altered(logits)
        if self._structured is not None:
            allowed = self._structured(altered)
            if allowed is None:
                self._close("stop")
                self._release()
                return
            altered = allowed
        [self._chosen] = sample(altered, request.how, self._generator, request.rules)
        self._written += 1
        if self._altered is not None:
            self._altered.wrote(self._chosen)
        if request.logprobs is not None:
            self.stream.likelihoods += token_likelihoods(logits, [self._chosen], request.logprobs)
        self._write(self._chosen)
        if self._finish is not None:
            self._release()

    def _release(self) -> None:
        """The text is whole: its keys and values go, but for those that others may need."""
        if self._cached is not None and isinstance(self._state, PlainTextState):
            self._cached.store(self._state)
        self.ended, self._state = True, PlainTextState()

    def _write(self, token: int) -> None:
        stream = self.stream
        if stream.first is None:
            stream.first = time.monotonic()
        if token in self._ends:
            self._close("stop")
            return
        stream.tokens.append(token)
        may_stop = self._written > self.request.rules.min_tokens
        if self._structured is not None:
            may_stop = may_stop and self._structured.free
            self._structured.wrote(token)
        if delta := self._text.add(token, may_stop=may_stop):
            stream.put(delta)
        if self._text.stopped or (self._structured is not None and self._structured.complete):
            self._close("stop")
        elif len(stream.tokens) >= self._limit:
            self._close("length")

    def _close(self, reason: Finish) -> None:
        """The text has ended."""
        self._finish = reason
        if delta := self._text.finish():
            self.stream.put(delta)
        self.stream.recalled = self._state.retrieved()

    def end(self, error: BaseException | None = None) -> None:
        """Write no more: the request was cancelled, or has failed."""
        if self.ended:
            return
        self.ended, self.error = True, error
        if error is None and self._finish is None and self.stream.started is None:
            self._finish = "cancelled"
        elif error is None and self._finish is None:
            self._close("cancelled")
        self._state = PlainTextState()

    def settle(self) -> str:
        """End the stream; gives the outcome in a word."""
        self.stream.end(None if self.error else self._finish, self.error)
        if self.error is not None:
            return "timeout" if isinstance(self.error, OutOfTimeError) else "error"
        return self._finish or "error"
