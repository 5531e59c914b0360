"""A question to a memory and its answer: the text is read on, in a copy that shares what it does not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from torch import Tensor

from pasctl.memory.chunks import ChunkedPass
from pasctl.memory.queries import Seekers
from pasctl.memory.reader import Reader
from pasctl.memory.recall import Recalled
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
    """What is asked after a memory's text, and the answer.

    They are read as more of the text (EM-LLM, section 3): the window slides over them, and what leaves it becomes
    events, which can be retrieved for the rest of the answer.

    Attributes:
        layer_states: of the layers that have one of their own, if the model has such.
    """

    def __init__(self, reader: Reader, *, keep_retrieved: bool, seekers: Seekers | None = None) -> None:
        """Begin after what `reader` has read.

        Args:
            reader: it reads on, so a fork is to be given where others read it as well.
            keep_retrieved: whether to keep what is retrieved.
            seekers: the tokens that each look for events; None looks for them by the mean queries of chunks.
        """
        self._reader, self._keep, self._seekers = reader, keep_retrieved, seekers
        self.layer_states = self._reader.layer_states
        self._chosen: list[list[int]] | None = None
        self._log: list[Recalled] = []
        self._steps = self._since = self._count = 0
        self._ids: list[int] = []
        self._pass: ChunkedPass | None = None

    def retrieved(self) -> tuple[Recalled, ...]:
        """What each layer has retrieved at each step, if it is kept."""
        return tuple(self._log)

    def size(self, left: int, budget: int, *, first: bool) -> int:
        """A whole chunk or nothing, since what is retrieved depends on where chunks begin."""
        chunk = min(left, self._reader.params.chunk)
        return chunk if first or chunk <= budget else 0

    def begin(self, ids: list[int], *, retrieve: bool) -> list[int]:
        """Prepare for a pass with these tokens; memory rotates them itself, so the model is to leave them alone."""
        words = None if self._seekers is None else self._seekers.among(self._count, ids)
        # events leave the window only where others are retrieved: one that left in between would be attended by nobody
        due = self._chosen is None or self._since + len(ids) > self._reader.params.chunk
        retrieve = due or (retrieve and words != [])
        self._since = 0 if retrieve else self._since + len(ids)
        chosen = None if retrieve else self._chosen
        self._ids, self._count = ids, self._count + len(ids)
        self._pass = self._reader.begin(len(ids), chosen=chosen, words=words or None, step=self._steps)
        return [0] * len(ids)

    def end(self, hidden: Tensor) -> None:
        """Take in what the pass has read, and note what it has retrieved."""
        if self._pass is None:
            raise RuntimeError("a pass ended that did not begin")
        # the pass's states are many texts', and are not to be kept for this one's
        self._reader.end(self._ids, self._pass, hidden.clone())
        self._chosen, self._steps = self._pass.chosen, self._steps + 1
        self._log += self._pass.log if self._keep else []
        self._pass = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [1, H, n, D] (see `pasctl.models.attention.Attender`)."""
        if self._pass is None:
            raise RuntimeError("attend was called outside a pass")
        return self._pass.attend(layer, query, key, value, scoring)
