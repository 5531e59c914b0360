"""Questions to a memory: several at a time, each row with its own retrieval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from pasctl.memory.reader import Reader
from pasctl.memory.recall import ForwardPass, Recalled
from pasctl.memory.sources import AnswerSources, Sentence, Source
from pasctl.models.attention import Scoring


@dataclass(frozen=True)
class Answer:
    """An answer, and what was retrieved for it.

    Attributes:
        tokens: of the answer, without the one that ended it.
        recalled: per step and layer, the events and their scores; of no step after the answer's end.
        stop: "end", the model ended the answer; "length", it was cut off after `max_new_tokens`.
        first_step: the step that read the question's last token, which the answer's first token follows.
        locate: finds the sources, when they are first asked for.
    """

    question: str
    text: str
    tokens: tuple[int, ...]
    recalled: tuple[Recalled, ...]
    stop: Literal["end", "length"]
    first_step: int
    locate: Callable[[Answer], AnswerSources] | None = field(default=None, repr=False, compare=False)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the answer comes from: retrieved events as places in files, those of the most layers first."""
        return self.located.sources

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """The answer's sentences, each with its own sources."""
        return self.located.sentences

    @cached_property
    def located(self) -> AnswerSources:
        """Sources and sentences together."""
        return AnswerSources((), ()) if self.locate is None else self.locate(self)


class MemoryTextState:
    """Questions after a memory's text, and their answers; the text's memory is not changed.

    Rows are padded on the right: each row's chunks hold the same tokens as if it were asked alone.

    Attributes:
        layer_states: of those that have one of their own, if the model has such; then there is one row.
    """

    def __init__(self, reader: Reader, rows: int, *, keep_retrieved: bool) -> None:
        """Fork the reader's window for `rows` questions."""
        self._reader, self._keep = reader, keep_retrieved
        self.layer_states = None if reader.layer_states is None else reader.layer_states.fork()
        self._windows = [window.fork(rows) for window in reader.windows]
        self._queues = [[list(queue[0]) for _ in range(rows)] for queue in reader.queues]
        self._lengths = [len(reader.ids)] * rows
        self._chosen: list[list[list[int]]] | None = None
        self._log: list[Recalled] = []
        self._steps = 0
        self._pass: ForwardPass | None = None

    def retrieved(self, row: int) -> tuple[Recalled, ...]:
        """What each layer has retrieved for a row at each step, if it is kept."""
        return tuple(entry for entry in self._log if entry.row == row)

    def size(self, left: int, budget: int, *, first: bool) -> int:
        """A whole chunk or nothing, since what is retrieved depends on where chunks begin."""
        chunk = min(left, self._reader.params.chunk)
        return chunk if first or chunk <= budget else 0

    def begin(self, rows: list[list[int]], *, retrieve: bool) -> list[int]:
        """Prepare for a pass with these tokens; memory rotates them itself, so the model is to leave them alone.

        Args:
            rows: token ids of each row; shorter ones are padded on the right.
            retrieve: whether to retrieve events anew, or to use those of the last pass.
        """
        width = max(map(len, rows))
        positions = torch.tensor(
            [
                [*range(past, past + len(row)), *[-1] * (width - len(row))]
                for row, past in zip(rows, self._lengths, strict=True)
            ],
            device=self._reader.model.device,
        )
        again = None if retrieve else self._chosen
        self._pass = ForwardPass(
            self._reader.past, self._windows, self._queues, positions, chosen=again, step=self._steps, count=False
        )
        self._lengths = [past + len(row) for row, past in zip(rows, self._lengths, strict=True)]
        return [0] * (len(rows) * width)

    def end(self) -> None:
        """Note what the pass has retrieved."""
        if self._pass is not None:
            self._chosen, self._steps = self._pass.chosen, self._steps + 1
            self._log += self._pass.log if self._keep else []
        self._pass = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [B, H, n, D] (see `pasctl.models.attention.Attender`)."""
        if self._pass is None:
            raise RuntimeError("attend was called outside a pass")
        return self._pass.attend(layer, query, key, value, scoring)
