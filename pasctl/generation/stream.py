"""A text as it is written by the engine's thread, for whoever waits for it in another thread or in asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

from pasctl.generation.likelihoods import TokenLikelihood

Finish = Literal["stop", "length", "cancelled"]


class Stream:
    """The deltas of one text: iterate with `for` or `async for`, once.

    A delta never ends in half of a character. Iterating ends with the text, raises what went wrong, and ends quietly
    when the text was cancelled.

    Attributes:
        prompt_tokens: tokens of the prompt.
        tokens: ids written so far, without the one that ended the text.
        written: the text so far.
        finish_reason: "stop", the model or a stop string ended the text; "length", it was cut off; "cancelled"; None
            while it is written, or if it failed.
        error: why it failed, if it did.
        cached_tokens: of the prompt's, those that were not read, as a text before had the same beginning.
        recalled: with a memory and `keep_recalled`, the events retrieved at each step and layer.
        likelihoods: of the tokens written so far and of the one that ended the text, if the request asks for them.
        prompt_likelihoods: of the prompt's tokens, once it was read, if the request asks for them.
        submitted: when it was asked for, by time.monotonic; `started`, when it left the queue; `first`, when the first
            token was there; `ended`. None while it has not happened.
    """

    def __init__(self, prompt_tokens: int, cancel: Callable[[Stream], None] | None = None) -> None:
        self.prompt_tokens = prompt_tokens
        self.tokens: list[int] = []
        self.cached_tokens = 0
        self.written = ""
        self.finish_reason: Finish | None = None
        self.error: BaseException | None = None
        self.recalled: tuple[Any, ...] = ()
        self.likelihoods: list[TokenLikelihood] = []
        self.prompt_likelihoods: list[TokenLikelihood] = []
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self._cancel = cancel
        self._deltas: list[str] = []
        self._changed = threading.Condition()
        self._listener: Callable[[], None] | None = None

    @property
    def completion_tokens(self) -> int:
        """Tokens written so far."""
        return len(self.tokens)

    def cancel(self) -> None:
        """Stop writing and free the place; what was written can still be taken. Has no effect on a text that ended."""
        if self._cancel is not None:
            self._cancel(self)

    def text(self) -> str:
        """All that is still to come, joined.

        Raises:
            PasctlError: the text could not be written, or not in time.
        """
        return "".join(self)

    def __iter__(self) -> Iterator[str]:
        """Wait for deltas in a thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._deltas or self.ended is not None)
                deltas, ended = self._take()
            yield from deltas
            if ended:
                break
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[str]:
        """Wait for deltas in asyncio."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        with self._changed:
            self._listener = lambda: _wake(loop, changed)
        while True:
            changed.clear()
            with self._changed:
                deltas, ended = self._take()
            for delta in deltas:
                yield delta
            if ended:
                break
            await changed.wait()
        if self.error is not None:
            raise self.error

    def take(self) -> str:
        """What has come since the last time, without waiting."""
        with self._changed:
            return "".join(self._take()[0])

    def put(self, delta: str) -> None:
        """Add a delta (called by the engine)."""
        with self._changed:
            self.written += delta
            self._deltas.append(delta)
            self._notify()

    def end(self, reason: Finish | None, error: BaseException | None = None) -> None:
        """The text has ended or failed (called by the engine); what comes later changes nothing."""
        with self._changed:
            if self.ended is None:
                self.finish_reason, self.error, self.ended = reason, error, time.monotonic()
            self._notify()

    def _take(self) -> tuple[list[str], bool]:
        deltas, self._deltas = self._deltas, []
        return deltas, self.ended is not None

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._listener is not None:
            self._listener()


def _wake(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    # a loop that was closed has nobody left who waits
    if not loop.is_closed():
        loop.call_soon_threadsafe(changed.set)
