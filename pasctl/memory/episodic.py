"""A text read once, and asked as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.generation.loop import generate_deltas, next_logits
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.memory.asking import Answer, MemoryTextState
from pasctl.memory.checkpoint import Written, checkpoint, restore
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt, require_words
from pasctl.memory.proof import require_memory
from pasctl.memory.queries import WordFinder
from pasctl.memory.reader import Reader
from pasctl.memory.runs import Run, join_runs
from pasctl.memory.sources import AnswerSources, MemoryTexts, Retrieval, answer_sources
from pasctl.memory.text_bounds import FileSpan, TextBounds
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention

Writer = Callable[[int, dict[str, Tensor]], Path]
"""Writes the tensors of segment number n and gives the file they are in."""


class EpisodicMemory:
    """EM-LLM's memory for one text: `read` it, `ask` about it, keep it.

    Attributes:
        model: the model that reads and answers.
        params: how events are cut and recalled.
        prompt: turns texts and questions into token ids.
        reader: the text so far: token ids, surprise, events, keys and values.
        intervention: steers reading and answering, if given.
        proof: that memory on this model is the model.
        bounds: which characters of which files the tokens are; a function gives them when they are first wanted.
        memories: (first token, name) of each memory, where several were put together.
    """

    def __init__(
        self,
        model: LoadedModel | Any,
        tokenizer: Any = None,
        *,
        params: MemoryParams | None = None,
        intervention: Intervention | None = None,
        writer: Writer | None = None,
        **named: Any,
    ) -> None:
        """Start an empty memory.

        Args:
            model: a loaded model, or a transformers CausalLM with its tokenizer.
            tokenizer: of a CausalLM.
            params: all parameters; or give them by name: n_init=128, n_local=4096, ...
            intervention: a displacement of attention heads, in force while reading and answering.
            writer: writes segments down as they fill, which frees their memory; None keeps them.
            **named: parameters of `MemoryParams`.

        Raises:
            InputError: parameters that contradict each other, or both ways of giving them; a tokenizer that is none, or
                not the loaded model's; or a model whose memory path is not the model (see `pasctl.memory.proof`).
        """
        if params is not None and named:
            raise InputError(f"params and {', '.join(named)} were both given, expected one of the two")
        self.model = LoadedModel.given(model, tokenizer)
        self.params = params or MemoryParams(**named)
        self.proof = require_memory(self.model)
        self.intervention = intervention
        self.reader = Reader(self.model, self.params)
        self._writer = writer
        self._written = 0
        self._before = Written()
        self.prompt = Prompt(self.model.chat)
        self.bounds: list[TextBounds] | Callable[[], list[TextBounds]] = []
        self.memories: list[tuple[int, str]] = []
        self._words = WordFinder(self.model.tokenizer, self.prompt.tail, self.params.query)

    def read(self, text: str, *, name: str | None = None, on_pass: Callable[[int], None] | None = None) -> None:
        """Read more text.

        Args:
            text: it goes behind what was read before.
            name: of the file that it is from, for the sources of answers.
            on_pass: called with the number of tokens read, after each pass through the model.
        """
        known = self.bounds() if callable(self.bounds) else self.bounds
        before = [] if self.reader.ids else self.prompt.opening
        ids, starts = self.prompt.encode_with_starts(text)
        first = len(self.reader.ids) + len(before)
        self.read_ids([*before, *ids], on_pass=on_pass)
        self.bounds = [*known, TextBounds.of(text, starts, first, [FileSpan(name, 0, len(text))])]

    def read_ids(self, ids: Sequence[int], *, on_pass: Callable[[int], None] | None = None) -> None:
        """Read token ids as they are; nothing is put before them."""
        size = self.reader.pass_tokens
        with self.steered():
            for start in range(0, len(ids), size):
                piece = ids[start : start + size]
                self.reader.read(piece, self if self._writer else None)
                if on_pass is not None:
                    on_pass(len(piece))

    def segment(self, reader: Reader, start: int, stop: int) -> None:
        """Write a segment that has filled (called by the reader)."""
        if self._writer is None:
            return
        path = self._writer(self._written, checkpoint(reader, start, stop, self._before))
        reader.past.segments.replace_with_file(self._written, path)
        self._written += 1
        self._before = Written.by(reader)

    def finish(self) -> None:
        """Write what is left of the last segment."""
        self.reader.flush(self if self._writer else None)

    def restore(self, files: Sequence[Path], states: Path | None = None) -> None:
        """Take up a text from the files of its segments, in order.

        Args:
            files: the files.
            states: the file with the states of the model's layers, if it has such and they have a file of their own.
                It may be of a segment before the last one, if writing was interrupted; what is behind is left out.

        Raises:
            IntegrityError: a file is damaged.
        """
        self._written = restore(self.reader, files, states)
        self._before = Written.by(self.reader)

    def join(self, runs: Sequence[Run]) -> None:
        """Take up texts that were each read in a window of their own, as one memory."""
        with self.steered():
            join_runs(self.reader, self.prompt.opening, runs)

    def ask(self, question: str, **how: Any) -> str:
        """Answer a question; `how` are the fields of `SamplingParams`."""
        return self.ask_all([question], SamplingParams(**how))[0].text

    def ask_all(
        self,
        questions: Sequence[str],
        how: SamplingParams | None = None,
        *,
        on_piece: Callable[[int, str], None] | None = None,
    ) -> list[Answer]:
        """Answer several questions in one batch.

        Args:
            questions: each is asked after the text, as if it were the only one.
            how: how answers are written.
            on_piece: called with the number of a question and what its answer grows by.

        Raises:
            InputError: a question is empty, or the model cannot be asked to think.
        """
        prompts, streams = self._prompts(questions, how), list[Stream]()
        for number, delta in generate_deltas(self.model, self._requests(prompts, how), streams):
            if on_piece is not None:
                on_piece(number, delta)
        return self._answers(questions, prompts, streams)

    def stream(self, question: str, how: SamplingParams | None = None) -> Generator[str, None, Answer]:
        """Answer one question delta by delta: yields what the answer's text grows by, and returns the answer.

        Raises:
            InputError: the question is empty, or the model cannot be asked to think.
        """
        prompts, streams = self._prompts([question], how), list[Stream]()
        for _, delta in generate_deltas(self.model, self._requests(prompts, how), streams):
            yield delta
        return self._answers([question], prompts, streams)[0]

    def _prompts(self, questions: Sequence[str], how: SamplingParams | None) -> list[list[int]]:
        require_words(questions)
        return [self.prompt.question(question, how is not None and how.think) for question in questions]

    def _answers(
        self, questions: Sequence[str], prompts: Sequence[Sequence[int]], streams: Sequence[Stream]
    ) -> list[Answer]:
        return [
            Answer(
                question,
                stream.written,
                tuple(stream.tokens),
                stream.recalled,
                "length" if stream.finish_reason == "length" else "end",
                first_step=self._first_step(len(prompt)),
                locate=self._locate,
            )
            for question, prompt, stream in zip(questions, prompts, streams, strict=True)
        ]

    def texts(self) -> MemoryTexts:
        """The words of the events, and the files that they are from."""
        if callable(self.bounds):
            self.bounds = self.bounds()
        reader, events = self.reader, self.reader.past.events
        starts = [start for start in [*events.starts, *events.pending] if start < len(reader.ids)]
        opening = len(self.prompt.opening)
        return MemoryTexts(
            self.model.tokenizer, reader.ids, starts, self.bounds, opening=opening, memories=self.memories
        )

    def prefer_recent(self, weight: float) -> None:
        """Retrieve newer events rather than older ones: files by their times, without any the end of the text.

        Args:
            weight: of their recency in 0..1, in standard deviations of the events' scores; 0 is off.
        """
        events = self.reader.past.events
        events.prefer_recent(torch.tensor(self.texts().recency()[: events.evicted] if weight else []), weight)

    def sources_of(self, stream: Stream, prompt_tokens: int) -> AnswerSources:
        """Where an answer comes from that an engine has written, white space at its ends and all."""
        log = [Retrieval(each.step, each.layer, each.events, each.scores) for each in stream.recalled]
        first = self._first_step(prompt_tokens)
        located = answer_sources(log, first, tuple(stream.tokens), self.model.tokenizer, self.texts(), strip=False)
        return located.until(len(stream.written))

    def _locate(self, answer: Answer) -> AnswerSources:
        log = [Retrieval(each.step, each.layer, each.events, each.scores) for each in answer.recalled]
        return answer_sources(log, answer.first_step, answer.tokens, self.model.tokenizer, self.texts())

    def _first_step(self, prompt_tokens: int) -> int:
        """The step that reads the last token of a question of so many tokens."""
        return (prompt_tokens - 1) // self.params.chunk

    def logits(self, questions: Sequence[Sequence[int]]) -> Tensor:
        """Logits float32 [B, vocabulary] of what comes after questions given as token ids."""
        return torch.cat([next_logits(self.model, request) for request in self._requests(questions)])

    def _requests(self, prompts: Sequence[Sequence[int]], how: SamplingParams | None = None) -> list[Request]:
        return [
            Request(prompt, how or SamplingParams(), memory=self, strip=True, keep_recalled=True) for prompt in prompts
        ]

    def text_state(self, question: Sequence[int], *, keep_retrieved: bool) -> MemoryTextState:
        """Where a question and its answer begin (called by what writes them)."""
        seekers = self._words.seekers(question)
        return MemoryTextState(self.reader.fork(), keep_retrieved=keep_retrieved, seekers=seekers)

    def describe(self) -> dict[str, Any]:
        """Figures of what was read."""
        self.reader.settle()
        events, tokens = self.reader.past.events, len(self.reader.ids)
        starts = [start for start in [*events.starts, *events.pending] if start < tokens]
        lengths = torch.tensor([*starts, tokens]).diff().float()
        return {
            "params": self.params.recorded(),
            "tokens": tokens,
            "events": len(starts),
            "events_outside_window": events.evicted,
            "mean_event_tokens": round(float(lengths.mean()), 2) if len(lengths) else 0.0,
            "mean_surprise": round(float(self.reader.surprise[1:].mean()), 4) if tokens > 1 else 0.0,
            "boundaries": self._most_surprising(5),
        }

    def _most_surprising(self, count: int) -> list[dict[str, Any]]:
        """The events that began with the most surprising tokens, and how they begin."""
        reader = self.reader
        starts = torch.tensor([start for start in reader.past.events.starts if start < len(reader.ids)])
        best = starts[reader.surprise[starts].argsort(descending=True)[:count]].tolist() if len(starts) else []
        return [
            {
                "token": start,
                "surprise": round(float(reader.surprise[start]), 3),
                "text": " ".join(self.model.tokenizer.decode(reader.ids[start : start + 16]).split()),
            }
            for start in best
        ]

    def steered(self) -> AbstractContextManager[None]:
        """What is in force while the memory's model runs."""
        return nullcontext() if self.intervention is None else steer(self.model, self.intervention)
