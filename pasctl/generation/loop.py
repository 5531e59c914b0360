"""The loop that writes texts: a pass reads the next tokens of all of them, and one token is chosen after each.

`generate` runs it in the caller's thread; `pasctl.generation.engine` runs it in a thread of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from pasctl.errors import PasctlError
from pasctl.generation.active import ActiveRequest
from pasctl.generation.packed import PackedModel, PackedSegment
from pasctl.generation.prefix_cache import PrefixCache
from pasctl.generation.request import Request
from pasctl.generation.stream import Stream
from pasctl.models.footprint import text_rows
from pasctl.models.load import LoadedModel
from pasctl.models.transformers_compat import first_line, is_failure

STEP_TOKENS = 4096


class ActiveBatch:
    """Requests join and leave between passes. A pass has a token of each text that is written, and parts of prompts.

    Attributes:
        rows: in the order they joined.
        packed: runs the passes, and counts them.
        written: tokens chosen.
    """

    def __init__(
        self, model: LoadedModel, *, context: int | None, step_tokens: int, prefixes: PrefixCache | None = None
    ) -> None:
        """Begin without rows.

        Args:
            model: what runs.
            context: tokens that a text without memory may have in all; None is any number.
            step_tokens: tokens of a pass, of which prompts get what is left; a memory's chunk may be more.
            prefixes: what is stored of texts; None stores nothing.
        """
        self.packed, self.rows, self.written = PackedModel(model), list[ActiveRequest](), 0
        self._model, self._context, self._step_tokens, self._prefixes = model, context, step_tokens, prefixes
        self._ends = end_tokens(model)

    def add(self, row: ActiveRequest) -> None:
        """Let a request join; it ends at once if its memory cannot be forked."""
        request = row.request
        limit = request.how.max_new_tokens
        if self._context is not None and request.memory is None:
            limit = min(limit, self._context - len(request.prompt))
        with _failing_alone(row):  # by its memory's fault or its files', and nobody else's
            row.start(self._model, self._ends, limit, self._prefixes)
            self.rows.append(row)

    @torch.inference_mode()
    def step(self) -> None:
        """Run one pass; a text whose own attention fails ends, and if the model fails all in the pass do."""
        taken = self._take()
        try:
            if taken:
                self._choose(self._run(taken))
        except BaseException as error:  # no text's fault that is known: what any of them has read is in doubt
            if not is_failure(error):
                raise
            self.packed.release()
            if self._prefixes is not None:
                self._prefixes.tree.clear()
            for row, _ in taken:
                row.end(_as_expected(error))
        self.rows = [row for row in self.rows if not row.ended]

    def _take(self) -> list[tuple[ActiveRequest, PackedSegment]]:
        """The rows of the next pass: all that are written, then prompts in their order while there is room."""
        taken: list[tuple[ActiveRequest, PackedSegment]] = []
        budget, first, before = self._step_tokens, True, list[ActiveRequest]()
        for row in sorted(self._of_one_kind(), key=lambda row: row.reading):
            if row.waits(before):
                continue
            before.append(row)
            segment = None
            with _failing_alone(row):
                segment = row.segment(budget, first=first)
            if segment is None:
                continue
            budget -= segment.size
            first = first and not row.reading
            taken.append((row, segment))
            if self.packed.alone:
                break
        return taken

    def _of_one_kind(self) -> list[ActiveRequest]:
        """The rows that may share a pass, which shifts one kind of sites: that of the steered row that joined first."""
        kinds = [None if row.request.steering is None else row.request.steering.kind for row in self.rows]
        first = next((kind for kind in kinds if kind is not None), None)
        return [row for row, kind in zip(self.rows, kinds, strict=True) if kind in (None, first)]

    def _run(self, taken: Sequence[tuple[ActiveRequest, PackedSegment]]) -> list[tuple[ActiveRequest, Tensor]]:
        """One pass; gives the rows that a token is to be chosen for, and the state [1, hidden] it is chosen from."""
        hidden, failed = self.packed.run([segment for _, segment in taken])
        due = []
        for place, (row, _) in enumerate(taken):
            if place in failed:
                row.end(_as_expected(failed[place]))
                continue
            with _failing_alone(row):
                if (state := row.passed(hidden[place])) is not None:
                    due.append((row, state))
        return due

    def _choose(self, due: Sequence[tuple[ActiveRequest, Tensor]]) -> None:
        if not due:
            return
        logits = self._model.logits(torch.cat([state for _, state in due]))
        for (row, _), own in zip(due, logits, strict=True):
            with _failing_alone(row):  # such as by a probability that is no number
                row.choose(own[None])
        self.written += len(logits)


def generate(
    model: LoadedModel, requests: Sequence[Request], *, batch_tokens: int = STEP_TOKENS, max_batch: int | None = None
) -> list[Stream]:
    """Write the texts of many requests, each as if it were alone: same tokens, own steering, memory and seed.

    Args:
        model: what writes; it is as it was afterwards.
        requests: in any number; as many are written at the same time as there is room for.
        batch_tokens: bound on the tokens of texts that are written at the same time; a longer text is written alone.
        max_batch: requests that are written at the same time; None takes as many as `batch_tokens` and the model's
            memory limit allow.

    Returns:
        The ended stream of each request, in their order, with its tokens and its text.

    Raises:
        InputError: the model cannot write a request (see `Request.check`), or its memory limit is too low.
        PasctlError: the model or a memory failed.
    """
    active = _activate(model, requests)
    for _ in _write(model, active, batch_tokens, max_batch):
        pass
    return [row.stream for row in active]


def generate_deltas(
    model: LoadedModel, requests: Sequence[Request], streams: list[Stream]
) -> Iterator[tuple[int, str]]:
    """Write the texts of some requests step by step; between two deltas the model is as it was.

    Args:
        model: what writes.
        requests: written at the same time, as many as there is room for.
        streams: gets the stream of each request.

    Yields:
        The number of a request, and what its text grows by.

    Raises:
        InputError: the model cannot write a request (see `Request.check`).
        PasctlError: the model or a memory failed.
    """
    active = _activate(model, requests)
    streams += [row.stream for row in active]
    for batch in _write(model, active, STEP_TOKENS, None):
        for number, stream in enumerate(streams):
            if delta := stream.take():
                batch.packed.release()
                yield number, delta


def next_logits(model: LoadedModel, request: Request) -> Tensor:
    """Logits float32 [1, vocabulary] of what comes after a request's prompt.

    Raises:
        InputError: the model cannot read it (see `Request.check`).
    """
    [row] = _activate(model, [request])
    row.start(model, set(), 1)
    packed, states = PackedModel(model), None
    try:
        while states is None:
            segment = row.segment(STEP_TOKENS, first=True)
            if segment is None:
                raise RuntimeError("the first prompt of a pass has to wait")
            [hidden], failed = packed.run([segment])
            if failed:
                raise failed[0]
            states = row.passed(hidden)
        with torch.inference_mode():
            return model.logits(states)
    finally:
        packed.release()


def _activate(model: LoadedModel, requests: Sequence[Request]) -> list[ActiveRequest]:
    for request in requests:
        request.check(model, None)
    return [ActiveRequest(each, Stream(len(each.prompt))) for each in requests]


def _write(
    model: LoadedModel, active: Sequence[ActiveRequest], batch_tokens: int, max_batch: int | None
) -> Iterator[ActiveBatch]:
    """Write all, a pass at a time, until one fails."""
    if not active:
        return
    longest = max(len(row.request.prompt) + row.request.how.max_new_tokens for row in active)
    room = max_batch or text_rows(model.footprint, longest, batch_tokens)
    batch, waiting = ActiveBatch(model, context=None, step_tokens=batch_tokens), deque(active)
    try:
        while waiting or batch.rows:
            while waiting and len(batch.rows) < room:
                batch.add(waiting.popleft())
            batch.step()
            for row in active:
                if row.error is not None:
                    raise row.error
            yield batch
    finally:
        batch.packed.release()
        for row in active:
            row.settle()


def end_tokens(model: LoadedModel) -> set[int]:
    """Tokens that end a text: the model's and the tokenizer's."""
    ends = getattr(model.model.generation_config, "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    return {int(token) for token in [*listed, model.tokenizer.eos_token_id] if token is not None}


@contextmanager
def _failing_alone(row: ActiveRequest) -> Iterator[None]:
    """A failure while the block runs ends this text, and no other."""
    try:
        yield
    except BaseException as error:
        if not is_failure(error):
            raise
        row.end(_as_expected(error))


def _as_expected(error: BaseException) -> PasctlError:
    """An error as a caller gets it; the original is its cause."""
    if isinstance(error, PasctlError):
        return error
    failure = PasctlError(f"the model failed: {type(error).__name__}: {first_line(error)}")
    failure.__cause__ = error
    return failure
