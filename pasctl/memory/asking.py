"""Questions to a memory: several at a time, each row with its own recall, answered token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pasctl.memory.attention import memory_attention, run_backbone
from pasctl.memory.decoding import Decoding
from pasctl.memory.pieces import Pieces
from pasctl.memory.reader import Reader
from pasctl.memory.recall import ForwardPass, Recalled
from pasctl.memory.sampling import choose


@dataclass(frozen=True)
class Answer:
    """An answer, and what was recalled for it.

    Attributes:
        tokens: of the answer, without the one that ended it.
        recalled: per step and layer, the events and their scores; of no step after the answer's end.
        stop: "end", the model ended the answer; "length", it was cut off after `max_new_tokens`.
        first_step: the step that read the question's last token, which the answer's first token follows.
    """

    question: str
    text: str
    tokens: tuple[int, ...]
    recalled: tuple[Recalled, ...]
    stop: Literal["end", "length"]
    first_step: int


class Asking:
    """Several questions to one text; the text's memory is not changed.

    Rows are padded on the right: each row's chunks hold the same tokens as if it were asked alone.
    """

    def __init__(self, reader: Reader, rows: int) -> None:
        """Fork the reader's window for `rows` questions."""
        self.reader, self.rows = reader, rows
        self.windows = [window.fork(rows) for window in reader.windows]
        self.queues = [[list(queue[0]) for _ in range(rows)] for queue in reader.queues]
        self.lengths = [len(reader.ids)] * rows
        self.chosen: list[list[list[int]]] | None = None
        self.log: list[Recalled] = []
        self.steps = 0
        self.first_steps = [0] * rows

    @torch.inference_mode()
    def ask(self, questions: Sequence[Sequence[int]]) -> Tensor:
        """Read a question a row; gives the logits float32 [B, vocabulary] of what comes next.

        Raises:
            InputError: a question is empty, or longer than the local window.
        """
        for question in questions:
            self.reader.params.require_question(len(question))
        size = self.reader.params.chunk
        last: list[Tensor | None] = [None] * self.rows
        for start in range(0, max(map(len, questions)), size):
            pieces = [list(question[start : start + size]) for question in questions]
            hidden = self._forward(pieces, retrieve=True)
            for row, piece in enumerate(pieces):
                if piece:
                    last[row] = hidden[row, len(piece) - 1]
                    self.first_steps[row] = self.steps - 1
        return self.reader.model.logits(torch.stack([each for each in last if each is not None]))

    @torch.inference_mode()
    def step(self, tokens: Sequence[int], *, retrieve: bool = True) -> Tensor:
        """Read one more token a row; gives the logits [B, vocabulary] of the next."""
        return self.reader.model.logits(self._forward([[token] for token in tokens], retrieve=retrieve)[:, -1])

    def begin(self, pieces: list[list[int]], *, retrieve: bool) -> ForwardPass:
        """A pass that reads more tokens a row, for who runs the model himself; `end` it afterwards.

        Args:
            pieces: token ids of each row; shorter ones are padded on the right.
            retrieve: whether to recall events anew, or those of the last pass.
        """
        width = max(map(len, pieces))
        positions = torch.tensor(
            [
                [*range(past, past + len(piece)), *[-1] * (width - len(piece))]
                for piece, past in zip(pieces, self.lengths, strict=True)
            ],
            device=self.reader.model.device,
        )
        again = None if retrieve else self.chosen
        return ForwardPass(
            self.reader.past, self.windows, self.queues, positions, chosen=again, step=self.steps, count=False
        )

    def end(self, pieces: list[list[int]], step: ForwardPass) -> None:
        """Note that a pass has read its tokens, and what it recalled."""
        self.lengths = [past + len(piece) for past, piece in zip(self.lengths, pieces, strict=True)]
        self.chosen, self.steps = step.chosen, self.steps + 1
        self.log += step.log

    def _forward(self, pieces: list[list[int]], *, retrieve: bool) -> Tensor:
        width = max(map(len, pieces))
        ids = torch.tensor([[*piece, *[0] * (width - len(piece))] for piece in pieces])
        step = self.begin(pieces, retrieve=retrieve)
        with memory_attention(self.reader.model):
            hidden = run_backbone(self.reader.model, ids, step)
        self.end(pieces, step)
        return hidden


class Writing:
    """Answers to several questions while they are written: iterating writes on, then `answers` has them.

    It yields (row, piece) as texts grow; a row's pieces joined are its answer's text. A piece never ends in half of a
    character, nor in white space that may turn out to be the answer's end.
    """

    def __init__(
        self,
        asking: Asking,
        questions: Sequence[str],
        prompts: Sequence[Sequence[int]],
        how: Decoding,
        *,
        ends: set[int],
        tokenizer: Any,
    ) -> None:
        """Prepare the answers to `questions`, which `prompts` are the token ids of."""
        self._asking, self._questions, self._prompts, self._how = asking, questions, prompts, how
        self._ends, self._tokenizer = ends, tokenizer
        self.answers: list[Answer] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Write the answers."""
        rows = len(self._questions)
        tokens: list[list[int]] = [[] for _ in range(rows)]
        texts = [Pieces(self._tokenizer, strip=True) for _ in range(rows)]
        ended = [False] * rows
        for step in decode(self._asking, self._prompts, self._ends, self._how):
            for row, token in enumerate(step):
                if token is None:
                    ended[row] = True
                    continue
                tokens[row].append(token)
                if piece := texts[row].add(token):
                    yield row, piece
        for row, (ids, text) in enumerate(zip(tokens, texts, strict=True)):
            if piece := text.finish():  # it ends in half of a character
                yield row, piece
            self.answers.append(self._answer(row, text.text, tuple(ids), ended=ended[row]))

    def _answer(self, row: int, text: str, tokens: tuple[int, ...], *, ended: bool) -> Answer:
        first = self._asking.first_steps[row]
        # a row that has ended goes on in its batch, and what it recalls then belongs to nothing
        last = max(self._asking.first_steps) + len(tokens)
        log = tuple(each for each in self._asking.log if each.row == row and each.step <= last)
        return Answer(self._questions[row], text, tokens, log, "end" if ended else "length", first)


def decode(
    asking: Asking, questions: Sequence[Sequence[int]], ends: set[int], how: Decoding
) -> Iterator[list[int | None]]:
    """Answer questions: yields one token a row, None for rows that have ended, until all have."""
    generator = torch.Generator().manual_seed(how.seed)
    logits = asking.ask(questions)
    done = [False] * len(questions)
    for place in range(how.max_new_tokens):
        tokens = choose(logits, how, generator)
        done = [ended or token in ends for ended, token in zip(done, tokens, strict=True)]
        yield [None if ended else token for ended, token in zip(done, tokens, strict=True)]
        if all(done) or place + 1 == how.max_new_tokens:
            return
        logits = asking.step(tokens, retrieve=place % how.retrieve_every == 0)
