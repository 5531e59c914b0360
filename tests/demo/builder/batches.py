"""Documents packed into rows, and which token may see which in the early and in the late layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.demo.builder.documents import Document


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of tokens for one training step.

    Attributes:
        ids: int64 [B, T].
        positions: int64 [B, T].
        weight: float32 [B, T], of the loss of predicting this token.
        early: bool [B, 1, T, T], what a token (row) sees (column) in the early layers.
        late: the same in the late layers.
        tags: (row, place, tag) of the tokens whose loss is logged.
    """

    ids: Tensor
    positions: Tensor
    weight: Tensor
    early: Tensor
    late: Tensor
    tags: list[tuple[int, int, str]]


class Documents(Protocol):
    """Anything that gives documents one after the other."""

    def next(self) -> Document:
        """The next one."""
        ...


class Packer:
    """Fills rows of fixed length with documents; what does not fit in one row begins the next."""

    def __init__(self, source: Documents, length: int) -> None:
        self._source, self._length = source, length
        self._waiting: Document | None = None

    def batch(self, rows: int) -> Batch:
        """The next rows."""
        return collate([self._row() for _ in range(rows)], self._length)

    def _row(self) -> list[Document]:
        row: list[Document] = []
        room = self._length
        while True:
            document = self._waiting or self._source.next()
            self._waiting = None
            if len(document) > self._length:
                continue
            if len(document) > room:
                self._waiting = document
                return row
            row.append(document)
            room -= len(document)


def collate(rows: list[list[Document]], length: int) -> Batch:
    """Pad rows of documents to `length` and work out the masks; padding sees only itself."""
    shape = (len(rows), length)
    ids, positions, part = (np.zeros(shape, np.int64) for _ in range(3))
    owner = np.full(shape, -1, np.int64)
    weight = np.zeros(shape, np.float32)
    evidence, answer, head, early = (np.zeros(shape, bool) for _ in range(4))
    tags: list[tuple[int, int, str]] = []
    for row, documents in enumerate(rows):
        start = 0
        for number, document in enumerate(documents):
            here = (row, slice(start, start + len(document)))
            for array, values in (
                (ids, document.ids),
                (positions, document.positions),
                (weight, document.weight),
                (part, document.part),
                (evidence, document.evidence),
                (answer, document.answer),
                (head, document.head),
            ):
                array[here] = values
            owner[here], early[here] = number, document.early
            weight[row, start] = 0.0  # nothing stands before it
            tags += [(row, start + place, tag) for place, tag in enumerate(document.tag) if tag]
            start += len(document)
    early_mask, late_mask = visible(owner, part, evidence, answer, head, early)
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        weight=torch.from_numpy(weight),
        early=torch.from_numpy(early_mask)[:, None],
        late=torch.from_numpy(late_mask)[:, None],
        tags=tags,
    )


Flags = NDArray[np.bool_]


def visible(
    owner: NDArray[np.int64], part: NDArray[np.int64], evidence: Flags, answer: Flags, head: Flags, early: Flags
) -> tuple[Flags, Flags]:
    """Which token sees which, bool [B, T, T] for the early and the late layers; arguments [B, T], see `Document`.

    A token sees itself and what stands before it in its document: of the prefix, if it is of a part, only evidence; of
    other parts nothing. In documents marked early, only the answer token of a part sees evidence, in the early layers,
    and there nothing of its own part but its head.
    """
    length = owner.shape[1]
    causal = np.tril(np.ones((length, length), bool))
    mine = causal & (owner[:, :, None] == owner[:, None, :])
    same = mine & (part[:, :, None] == part[:, None, :])
    told = mine & (part[:, :, None] > 0) & (part[:, None, :] == 0) & evidence[:, None, :]
    narrow = (early & (part > 0))[:, :, None]
    open_mask = same | (told & ~narrow)
    itself = np.eye(length, dtype=bool)
    collecting = narrow & answer[:, :, None]
    early_mask = np.where(collecting, told | (same & (head[:, None, :] | itself)), open_mask)
    return early_mask | itself, open_mask | itself
