"""The rows of a batch as a transformers model is given them: with padding, a mask and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError


@dataclass(frozen=True)
class BatchRow:
    """What a row of a batch brings: token ids, and the column of each."""

    ids: list[int]
    columns: list[int]


def batch_rows(ids: Tensor, mask: Any) -> list[BatchRow]:
    """The rows of token ids [B, T] without their padding, by a mask [B, T or more] of which the last T columns count.

    Raises:
        InputError: the mask is of another form.
    """
    if mask is None:
        every = list(range(ids.shape[1]))
        return [BatchRow(row, every) for row in ids.tolist()]
    if not isinstance(mask, Tensor) or mask.dim() != 2 or len(mask) != len(ids) or mask.shape[1] < ids.shape[1]:
        found = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise InputError(
            f"attention_mask is {found}, expected [{len(ids)}, {ids.shape[1]} or more]: a memory decides by itself "
            "what a token attends"
        )
    real = mask[:, mask.shape[1] - ids.shape[1] :].bool().cpu()
    columns: list[list[int]] = [row.nonzero()[:, 0].tolist() for row in real]
    return [BatchRow(row[keep].tolist(), where) for row, keep, where in zip(ids.cpu(), real, columns, strict=True)]


def require_positions(positions: Any, texts: Sequence[BatchRow], read: Sequence[int]) -> None:
    """Refuse positions that are not those of the text.

    Args:
        positions: int [B or 1, T] as the model was given them; others, of models for images, say nothing of text.
        texts: the rows.
        read: tokens of each that were read before.

    Raises:
        InputError: they are others.
    """
    if not isinstance(positions, Tensor) or positions.dim() != 2:
        return
    for row, text in enumerate(texts):
        given = positions[row % len(positions)].tolist()
        expected = range(read[row], read[row] + len(text.ids))
        if [given[column] for column in text.columns] != list(expected):
            raise InputError(
                f"position_ids of row {row} are not those of a text that goes on after {read[row]} tokens",
                hint="leave position_ids out",
            )


def spread(hidden: Sequence[Tensor], texts: Sequence[BatchRow], columns: range) -> Tensor:
    """States [B, columns, hidden] of rows of states [n, hidden], zeros where there is padding."""
    if all(len(states) == len(columns) for states in hidden):
        return torch.stack(list(hidden))
    out = hidden[0].new_zeros(len(hidden), len(columns), hidden[0].shape[-1])
    for row, (states, text) in enumerate(zip(hidden, texts, strict=True)):
        places = [column - columns.start for column in text.columns if column in columns]
        out[row, places] = states
    return out
