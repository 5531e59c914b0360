"""The texts that are written at the same time, one forward pass after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pasctl.errors import PasctlError
from pasctl.memory.prompt import end_tokens
from pasctl.models.foreign import first_line
from pasctl.models.load import LoadedModel
from pasctl.serving.packed import PackedModel, Span
from pasctl.serving.row import Row


class Batch:
    """Rows join and leave between passes. A pass has a token of each text that is written, and parts of prompts.

    Attributes:
        rows: in the order they joined.
        packed: runs the passes, and counts them.
        written: tokens chosen.
    """

    def __init__(self, model: LoadedModel, *, context: int | None, step_tokens: int) -> None:
        """Begin without rows.

        Args:
            model: what runs.
            context: tokens that a text without memory may have in all; None is any number.
            step_tokens: tokens of a pass, of which prompts get what is left; a memory's chunk may be more.
        """
        self.packed, self.rows, self.written = PackedModel(model), list[Row](), 0
        self._model, self._context, self._step_tokens = model, context, step_tokens
        self._ends = end_tokens(model)

    def add(self, row: Row) -> None:
        """Let a row join; it ends at once if its memory cannot be forked."""
        request = row.request
        most = request.how.max_new_tokens
        if self._context is not None and request.memory is None:
            most = min(most, self._context - len(request.prompt))
        try:
            row.start(self._model.tokenizer, self._ends, most)
        except Exception as error:  # the memory's fault or its files', and nobody else's
            row.end(None, _told(error))
            return
        self.rows.append(row)

    @torch.inference_mode()
    def step(self) -> None:
        """Run one pass; a row whose own attention fails ends, and if the model fails all in the pass do."""
        taken = self._take()
        rows = [row for row, _ in taken]
        try:
            if taken:
                self._run(rows, [span for _, span in taken])
        except Exception as error:  # no row's fault that is known: what any of them has read is in doubt
            self.packed.release()
            for row in rows:
                row.end(None, _told(error))
        self.rows = [row for row in self.rows if not row.ended]

    def _run(self, rows: Sequence[Row], spans: Sequence[Span]) -> None:
        hidden, failed = self.packed.run(spans)
        for place, error in failed.items():
            rows[place].end(None, _told(error))
        places = [place for place, row in enumerate(rows) if not row.ended and row.passed()]
        if places:
            self._choose([rows[place] for place in places], hidden[places])

    def _take(self) -> list[tuple[Row, Span]]:
        """The rows of the next pass: all that are written, then prompts in their order while there is room."""
        taken: list[tuple[Row, Span]] = []
        budget, first = self._step_tokens, True
        for row in sorted(self.rows, key=lambda row: row.reading):
            try:
                span = row.span(budget, first=first)
            except Exception as error:  # as in `add`
                row.end(None, _told(error))
                continue
            if span is None:
                continue
            budget -= len(span.tokens)
            first = first and not row.reading
            taken.append((row, span))
        return taken

    def _choose(self, rows: Sequence[Row], hidden: torch.Tensor) -> None:
        logits = self._model.logits(hidden)
        for place, row in enumerate(rows):
            try:
                row.choose(logits[place : place + 1])
            except Exception as error:  # such as a probability that is no number
                row.end(None, _told(error))
        self.written += len(rows)


def _told(error: Exception) -> PasctlError:
    """An error as a caller is told it; the original is its cause."""
    if isinstance(error, PasctlError):
        return error
    told = PasctlError(f"the model failed: {type(error).__name__}: {first_line(error)}")
    told.__cause__ = error
    return told
