"""Where each row of a batch ends: its last real token, by the attention mask of the forward pass that runs."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from pasctl.errors import InputError
from pasctl.models.attention import attends

_HINT = "give attention_mask to the forward pass (all ones where no row is padded)"


class AnswerPlaces:
    """The last real token of every row in the pass that runs now, read before its first layer."""

    def __init__(self, backbone: nn.Module, padding: frozenset[int]) -> None:
        """Prepare to read passes.

        Args:
            backbone: what takes the mask; `read` is a forward pre-hook of it, with keywords.
            padding: tokens that batches are padded with, for passes without a mask.
        """
        self._last: Tensor | None = None
        self._signature = inspect.signature(backbone.forward)
        self._padding = padding

    def read(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Find the rows' ends from what the backbone is given.

        Raises:
            InputError: rows may be padded and no mask says where, or the mask is of a form that does not tell.
        """
        if attends():  # by a chunk of a text, whose last token is no answer's
            raise InputError(
                "positions 'answer' cannot be found in a memory, which reads a prompt in chunks",
                hint='steer at positions "all"',
            )
        given = {**self._signature.bind_partial(*args, **named).arguments}
        given |= given.pop("kwargs", {})
        ids = given.get("input_ids")
        tokens = ids if ids is not None else given["inputs_embeds"]
        rows, length = tokens.shape[:2]
        mask = given.get("attention_mask")
        if isinstance(mask, dict):  # one for each kind of layer; they differ in how far a token sees back
            mask = next((part for part in mask.values() if part is not None), None)
        if length == 1:
            self._last = torch.zeros(rows, dtype=torch.long, device=tokens.device)
        elif mask is None:
            self._require_unpadded(ids, rows)
            self._last = torch.full((rows,), length - 1, device=tokens.device)
        else:
            self._last = _last(
                _real(mask, length, _past(given.get("cache", given.get("past_key_values")))).expand(rows, -1)
            )

    def last_of(self, output: Tensor) -> Tensor:
        """Index of the last real token in each row of an output [B, T, ...], int [B]; -1 of a row of padding alone."""
        if self._last is None:  # a layer that is called by itself
            return torch.full((len(output),), output.shape[1] - 1, device=output.device)
        return self._last.to(output.device)

    def _require_unpadded(self, ids: Tensor | None, rows: int) -> None:
        """A batch without a mask must not look padded: no row may end in a padding token or in one token twice."""
        if rows == 1:
            return
        if ids is None:
            raise InputError('positions "answer" of a batch of embeddings need an attention mask', hint=_HINT)
        ends = ids[:, -2:]
        usual = torch.isin(ends[:, -1], torch.tensor(sorted(self._padding), device=ids.device))
        padded = (usual | (ends[:, 0] == ends[:, 1])).nonzero().flatten().tolist()
        if padded:
            raise InputError(
                f'positions "answer" of a batch of {rows} rows without an attention mask: row {padded[0]} ends in '
                f"token {int(ends[padded[0], -1])}, which looks like padding",
                hint=_HINT,
            )


def _past(cache: Any) -> int:
    """Tokens that were read before this pass."""
    return int(cache.get_seq_length()) if cache is not None else 0


def _real(mask: Any, length: int, past: int) -> Tensor:
    """Which tokens of a pass are no padding, bool [B, T].

    Args:
        mask: [B, past + T] or [B, T], not zero at real tokens; or [B, heads, T, keys], true or 0.0 where a token sees
            a key: a real token sees itself.
        length: T.
        past: tokens before the pass.

    Raises:
        InputError: a mask of another form.
    """
    if isinstance(mask, Tensor) and mask.dim() == 2 and mask.shape[1] in (length, past + length):
        return mask[:, -length:] != 0
    if isinstance(mask, Tensor) and mask.dim() == 4 and mask.shape[2] == length and mask.shape[3] >= past + length:
        own = mask[:, 0, :, past : past + length].diagonal(dim1=-2, dim2=-1)
        return own == 0 if own.dtype.is_floating_point else own != 0
    form = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
    raise InputError(
        f'positions "answer" cannot be found in an attention mask of the form {form}, expected [rows, '
        f"{past + length}] or [rows, heads, {length}, {past + length}]",
        hint="give a mask of two dimensions, or name the positions",
    )


def _last(real: Tensor) -> Tensor:
    """Index of the last true value of each row, int [B]; -1 where there is none."""
    return (real * torch.arange(1, real.shape[1] + 1, device=real.device)).amax(1) - 1
