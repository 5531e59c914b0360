"""Rows of the reader's documents, with the blocks that each first question is to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tests.demo.builder.reader.documents import INIT, SCENE_WEIGHT, Document, Writer

TOKENS = 16_384  # of a batch
TEXT_SHARE = 0.3  # of the text's tokens whose prediction counts
BLOCKS = (8, 16, 16, 32)
UNSEEN = (0.6, 0.2, 0.2, 0.2, 0.2)
"""Layer -> share of the blocks that a question does not see there; the first layer's retrieval knows no contents."""
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows for one training step.

    Attributes:
        ids: int64 [B, T].
        weight: float32 [B, T], of the loss of predicting this token.
        tasks: name of each row's.
        answers: (row, first, stop) of every answer.
        block: tokens of a block; those of a row begin at `offset`.
        offset: of the first block.
        there: bool [B, N], blocks that lie within the text.
        sought: bool [B, N], those that the first question is to find.
        seekers: int64 [B, W], places of the first question's words, -1 behind them.
        follow: int64 [B], the place of one token of the first answer, which is to find the same.
        late: bool [B, T], tokens after the text of a packed row.
        unseen: bool [L, B, T], tokens that late ones do not see in a layer: there a memory has not found them.
    """

    ids: Tensor
    weight: Tensor
    tasks: list[str]
    answers: list[tuple[int, int, int]]
    block: int
    offset: int
    there: Tensor
    sought: Tensor
    seekers: Tensor
    follow: Tensor
    late: Tensor
    unseen: Tensor


@dataclass(frozen=True)
class Mixture:
    """What a stage reads.

    Attributes:
        shares: task -> share of the rows; "pairs" for keys and values over and over, "repeats" for runs of tokens.
        lengths: of rows, each as often.
        packed: share of the texts that are packed as a memory gives them.
    """

    shares: Mapping[str, float]
    lengths: Sequence[int]
    packed: float = 0.5


def make_batch(tokenizer: object, mixture: Mixture, seed: Sequence[int], tokens: int = TOKENS) -> Batch:
    """The batch of a seed."""
    rng = np.random.default_rng(list(seed))
    writer = Writer(tokenizer, rng)
    length = int(rng.choice(mixture.lengths))
    names, shares = list(mixture.shares), np.array(list(mixture.shares.values()))
    documents: list[Document] = []
    while len(documents) < max(1, tokens // length):
        task = str(rng.choice(names, p=shares / shares.sum()))
        if task in ("pairs", "repeats"):
            documents.append(writer.pairs(length) if task == "pairs" else writer.repeats(length))
            continue
        packed = bool(rng.random() < mixture.packed)
        made = next((d for d in (writer.trial(task, length, packed=packed) for _ in range(_TRIES)) if d), None)
        documents.append(made or writer.pairs(length))
    return collate(documents, length, rng)


def collate(documents: Sequence[Document], length: int, rng: np.random.Generator) -> Batch:
    """Pad documents to rows of `length` and find their blocks."""
    rows = len(documents)
    ids, weight = np.zeros((rows, length), np.int64), np.zeros((rows, length), np.float32)
    block = int(rng.choice(BLOCKS))
    offset = INIT + int(rng.integers(block))
    count = max(1, (length - offset) // block)
    there, sought = np.zeros((rows, count), bool), np.zeros((rows, count), bool)
    seekers, follow = np.full((rows, 48), -1, np.int64), np.full(rows, -1, np.int64)
    for row, document in enumerate(documents):
        ids[row, : len(document.ids)], weight[row, : len(document.ids)] = document.ids, document.weight
        there[row] = offset + block * np.arange(1, count + 1) <= document.text
        if document.words:
            first, stop = document.words[0]
            seekers[row, : stop - first - 1] = np.arange(first + 1, stop)  # not the line break
            begin, end = document.answers[0]
            follow[row] = rng.integers(begin, end - 1)
            for a, b in document.sought:
                for number in range(count):
                    inside = min(b, offset + block * (number + 1)) - max(a, offset + block * number)
                    sought[row, number] |= inside >= min(6, (b - a) / 2)
    light = (weight > 0) & (weight <= SCENE_WEIGHT)
    weight[light & (rng.random(weight.shape) > TEXT_SHARE)] = 0.0
    weight[light] /= TEXT_SHARE
    answers = [(row, *span) for row, document in enumerate(documents) for span in document.answers]
    sought &= there
    late, unseen = np.zeros((rows, length), bool), np.zeros((len(UNSEEN), rows, length), bool)
    for row, document in enumerate(documents):
        if document.packed:
            late[row, document.text :] = True
            left = rng.random((len(UNSEEN), count)) < np.array(UNSEEN)[:, None]
            unseen[:, row, offset : offset + count * block] = left.repeat(block, axis=1)
            unseen[:, row, document.text :] = False
    return Batch(
        *(torch.from_numpy(each) for each in (ids, weight)),
        [document.task for document in documents],
        answers,
        block,
        offset,
        *(torch.from_numpy(each) for each in (there, sought, seekers, follow, late, unseen)),
    )
