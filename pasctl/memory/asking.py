"""Questions to a memory: several at a time, each row with its own recall, answered token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.attention import memory_attention, run_backbone
from pasctl.memory.reader import Reader
from pasctl.memory.recall import ForwardPass, Recalled


@dataclass(frozen=True)
class Decoding:
    """How answers are written.

    Attributes:
        max_new_tokens: at most this many tokens an answer.
        temperature: 0 takes the most likely token.
        top_p: sample from the most likely tokens that have this probability together.
        seed: of the sampling.
        retrieve_every: recall events anew each so many tokens of the answer.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    retrieve_every: int = 1

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "retrieve_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.temperature < 0:
            raise InputError(f"temperature is {self.temperature}, expected 0 or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, expected above 0 and at most 1")


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

    @torch.inference_mode()
    def ask(self, questions: Sequence[Sequence[int]]) -> Tensor:
        """Read a question a row; gives the logits float32 [B, vocabulary] of what comes next.

        Raises:
            InputError: a question is empty, or longer than the local window.
        """
        limit = self.reader.params.n_local
        for question in questions:
            if not 0 < len(question) <= limit:
                raise InputError(
                    f"a question has {len(question)} tokens, expected 1 to {limit} (n_local)",
                    hint="put long text into the memory and ask about it",
                )
        size = self.reader.params.chunk
        last: list[Tensor | None] = [None] * self.rows
        for start in range(0, max(map(len, questions)), size):
            pieces = [list(question[start : start + size]) for question in questions]
            hidden = self._forward(pieces, retrieve=True)
            for row, piece in enumerate(pieces):
                if piece:
                    last[row] = hidden[row, len(piece) - 1]
        return self.reader.model.logits(torch.stack([each for each in last if each is not None]))

    @torch.inference_mode()
    def step(self, tokens: Sequence[int], *, retrieve: bool = True) -> Tensor:
        """Read one more token a row; gives the logits [B, vocabulary] of the next."""
        return self.reader.model.logits(self._forward([[token] for token in tokens], retrieve=retrieve)[:, -1])

    def _forward(self, pieces: list[list[int]], *, retrieve: bool) -> Tensor:
        width = max(map(len, pieces))
        ids = torch.tensor([[*piece, *[0] * (width - len(piece))] for piece in pieces])
        positions = torch.tensor(
            [
                [*range(past, past + len(piece)), *[-1] * (width - len(piece))]
                for piece, past in zip(pieces, self.lengths, strict=True)
            ],
            device=self.reader.model.device,
        )
        again = None if retrieve else self.chosen
        step = ForwardPass(
            self.reader.past, self.windows, self.queues, positions, chosen=again, step=self.steps, count=False
        )
        with memory_attention(self.reader.model):
            hidden = run_backbone(self.reader.model, ids, step)
        self.lengths = [past + len(piece) for past, piece in zip(self.lengths, pieces, strict=True)]
        self.chosen, self.steps = step.chosen, self.steps + 1
        self.log += step.log
        return hidden


def decode(
    asking: Asking, questions: Sequence[Sequence[int]], ends: set[int], how: Decoding
) -> Iterator[list[int | None]]:
    """Answer questions: yields one token a row, None for rows that have ended, until all have."""
    generator = torch.Generator().manual_seed(how.seed)
    logits = asking.ask(questions)
    done = [False] * len(questions)
    for place in range(how.max_new_tokens):
        tokens = _choose(logits, how, generator)
        done = [ended or token in ends for ended, token in zip(done, tokens, strict=True)]
        yield [None if ended else token for ended, token in zip(done, tokens, strict=True)]
        if all(done) or place + 1 == how.max_new_tokens:
            return
        logits = asking.step(tokens, retrieve=place % how.retrieve_every == 0)


def _choose(logits: Tensor, how: Decoding, generator: torch.Generator) -> list[int]:
    """A token a row, drawn on the CPU so that a seed means the same everywhere."""
    if how.temperature == 0:
        return [int(token) for token in logits.argmax(-1)]
    ordered, tokens = (logits.cpu() / how.temperature).softmax(-1).sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered.masked_fill(before >= how.top_p, 0.0)
    drawn = torch.multinomial(kept, 1, generator=generator)
    return [int(token) for token in tokens.gather(-1, drawn)[:, 0]]
