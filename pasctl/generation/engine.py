"""Generation in this process: requests from any thread or event loop share one model, batched continuously."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from pasctl.errors import InputError
from pasctl.generation.active import ActiveRequest
from pasctl.generation.loop import ActiveBatch
from pasctl.generation.prefix_cache import PREFIX_BYTES, PrefixCache, PrefixCounts, prefix_bytes
from pasctl.generation.request import EngineClosedError, OutOfTimeError, QueueFullError, Request
from pasctl.generation.stream import Stream
from pasctl.models.load import LoadedModel

T = TypeVar("T")


@dataclass(frozen=True)
class EngineCounts:
    """What an engine does and has done.

    Attributes:
        waiting: requests in the queue.
        running: requests that are written.
        passes: forward passes.
        tokens_run: tokens in them.
        tokens_written: tokens chosen, those that ended a text among them.
        outcomes: requests by how they ended: stop, length, cancelled, timeout, error, refused.
        prefixes: what is stored of texts, and what that has saved.
    """

    waiting: int
    running: int
    passes: int
    tokens_run: int
    tokens_written: int
    outcomes: dict[str, int]
    prefixes: PrefixCounts


class Engine:
    """Writes many texts at the same time, each as if it were alone: same tokens, own persona, own memory, own seed.

    One thread owns the model. While texts are written, whoever else wants to run the model does it with `call`.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        max_batch: int = 16,
        queue: int = 64,
        timeout: float | None = None,
        step_tokens: int = 256,
        prefix_cache: int = PREFIX_BYTES,
    ) -> None:
        """Start the thread.

        Args:
            model: what writes; without requests it is as it was.
            max_batch: texts that are written at the same time.
            queue: requests that may wait as well.
            timeout: seconds that a request may wait and be written, together; None is forever.
            step_tokens: about this many tokens of prompts are read between two tokens of the texts that are written.
            prefix_cache: bytes of keys and values that are kept of texts, so that others that begin alike are not read
                from their beginning; 0 keeps none. Of what the model's memory limit leaves it takes at most half.

        Raises:
            InputError: a number that makes no sense, or a model whose texts cannot share a pass.
        """
        numbers = ("max_batch", max_batch, 1), ("queue", queue, 0), ("step_tokens", step_tokens, 1)
        for name, value, least in (*numbers, ("prefix_cache", prefix_cache, 0)):
            if value < least:
                raise InputError(f"{name} is {value}, expected at least {least}")
        if timeout is not None and not timeout > 0:
            raise InputError(f"timeout is {timeout}, expected more than 0 seconds")
        self.model, self.max_batch, self.queue, self.timeout = model, max_batch, queue, timeout
        context = getattr(model.model.config, "max_position_embeddings", None)
        self.context: int | None = context if isinstance(context, int) else None
        self._prefixes = PrefixCache(model, prefix_bytes(model, prefix_cache, step_tokens))
        self._batch = ActiveBatch(model, context=self.context, step_tokens=step_tokens, prefixes=self._prefixes)
        if kind := self._batch.packed.length_dependent:
            raise InputError(
                f"rotary positions of type {kind} depend on the longest text of a batch, so none is shared"
            )
        self._changed = threading.Condition()
        self._waiting: deque[ActiveRequest] = deque()
        self._cancelled: set[Stream] = set()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._outcomes: Counter[str] = Counter()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="pasctl-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Stream:
        """Queue a request; its stream gives the text as it is written (raises as `submit_all` does)."""
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[Request]) -> list[Stream]:
        """Queue several requests, or none of them; gives their streams.

        Raises:
            InputError: the model cannot write one (see `Request.check`), or there are more than the engine holds.
            QueueFullError: too many requests wait already.
            EngineClosedError: the engine was closed.
        """
        room = self.max_batch + self.queue
        if len(requests) > room:
            raise InputError(f"{len(requests)} texts at a time, expected at most {room}")
        for request in requests:
            request.check(self.model, self.context)
        rows = [self._row(request) for request in requests]
        with self._changed:
            if self._closed:
                raise EngineClosedError("the engine was closed")
            present = len(self._waiting) + len(self._batch.rows)
            if present + len(requests) > room:
                self._outcomes["refused"] += len(requests)
                raise QueueFullError(
                    f"{present} requests run or wait, expected at most {room - len(requests)}",
                    hint="try again when some are done",
                )
            self._waiting.extend(rows)
            self._changed.notify_all()
        return [row.stream for row in rows]

    def _row(self, request: Request) -> ActiveRequest:
        stream = Stream(len(request.prompt), self._cancel)
        deadline = None if self.timeout is None else stream.submitted + self.timeout
        return ActiveRequest(request, stream, deadline)

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run a function in the engine's thread between two passes, when the model is as it was: to read a text, say.

        Raises:
            EngineClosedError: the engine was closed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise EngineClosedError("the engine was closed")
            self._calls.append((function, future))
            self._changed.notify_all()
        return future

    def counts(self) -> EngineCounts:
        """What it does and has done."""
        with self._changed:
            packed = self._batch.packed
            return EngineCounts(
                len(self._waiting),
                len(self._batch.rows),
                packed.passes,
                packed.tokens,
                self._batch.written,
                dict(self._outcomes),
                self._prefixes.counts(),
            )

    def close(self) -> None:
        """Stop: what runs or waits fails with EngineClosedError, and the model is given back as it was."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cancel(self, stream: Stream) -> None:
        with self._changed:
            self._cancelled.add(stream)
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while self._wait():
                while self._calls:
                    self._batch.packed.release()
                    _run(*self._calls.popleft())
                if self._batch.rows:
                    ran = list(self._batch.rows)
                    self._batch.step()
                    with self._changed:
                        self._settle(ran)
        finally:
            self._end_all()

    def _wait(self) -> bool:
        """Wait for something to do, and bring the rows up to date; false when the engine was closed."""
        with self._changed:
            self._sort_out()
            while not (self._closed or self._calls or self._batch.rows):
                self._changed.wait()
                self._sort_out()
            return not self._closed

    def _sort_out(self) -> None:
        """End what was cancelled or is late, and let those that wait take the free places."""
        now = time.monotonic()
        rows = [*self._batch.rows, *self._waiting]
        for row in rows:
            if row.stream in self._cancelled:
                row.end()
            elif row.deadline is not None and now > row.deadline:
                where = "waiting" if row.stream.started is None else "being written"
                row.end(OutOfTimeError(f"the request was still {where} after {self.timeout:g} seconds"))
        self._cancelled.clear()
        self._batch.rows = [row for row in self._batch.rows if not row.ended]
        self._waiting = deque(row for row in self._waiting if not row.ended)
        self._settle(rows)
        while self._waiting and len(self._batch.rows) < self.max_batch:
            row = self._waiting.popleft()
            self._batch.add(row)
            self._settle([row])

    def _settle(self, rows: list[ActiveRequest]) -> None:
        """Tell those that wait for rows that have ended; by then their places are free, and so is an idle model."""
        if not self._batch.rows:
            self._batch.packed.release()
        for row in rows:
            if row.ended:
                self._outcomes[row.settle()] += 1

    def _end_all(self) -> None:
        with self._changed:
            self._closed = True
            rows = [*self._batch.rows, *self._waiting]
            for row in rows:
                row.end(EngineClosedError("the engine was closed"))
            self._batch.rows = []
            self._waiting.clear()
            self._prefixes.tree.clear()
            self._settle(rows)
            for _, future in self._calls:
                if future.set_running_or_notify_cancel():
                    future.set_exception(EngineClosedError("the engine was closed"))
            self._calls.clear()


def _run(function: Callable[[], Any], future: Future[Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function())
        except BaseException as error:  # the caller's, whatever it is
            future.set_exception(error)
