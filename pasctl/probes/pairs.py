"""Head outputs of (agree, disagree) answer pairs as labelled rows, shared by probes and directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.errors import InputError, PasctlError

LayerSource = Tensor | Callable[[int], Tensor]
"""All head outputs [I, A, L, H, D], or a function that gives one layer's [I, A, H, D]: not all need be in memory."""

Pairs = Sequence[tuple[int, int]]
"""(agree column, disagree column) of the answer axis: one pair for each order of the options."""


def layer_count(x: LayerSource, n_layers: int | None) -> int:
    """The number of layers L; a function has to be told it."""
    if isinstance(x, Tensor):
        if x.ndim != 5:
            raise InputError(f"head outputs: expected a tensor [items, answers, L, H, D], found shape {list(x.shape)}")
        if n_layers not in (None, x.shape[2]):
            raise InputError(f"head outputs: expected {n_layers} layers, found {x.shape[2]}")
        return int(x.shape[2])
    if n_layers is None or n_layers < 1:
        raise InputError(f"head outputs given layer by layer: expected the number of layers, found {n_layers}")
    return n_layers


def layer_at(x: LayerSource, layer: int) -> Tensor:
    """One layer's head outputs [I, A, H, D].

    Raises:
        PasctlError: a value is not finite; the message names the layer and head.
    """
    layer_x = x[:, :, layer] if isinstance(x, Tensor) else x(layer)
    if layer_x.ndim != 4:
        raise InputError(f"layer {layer}: expected head outputs [items, answers, H, D], found {list(layer_x.shape)}")
    finite = torch.isfinite(layer_x)
    if not bool(finite.all()):
        head = int((~finite).any(dim=3).any(dim=1).any(dim=0).nonzero()[0])
        raise PasctlError(
            f"layer {layer} head {head}: expected finite head outputs, found NaN or infinity",
            hint="extract again with --dtype float32",
        )
    return layer_x


def pair_rows(layer_x: Tensor, pairs: Pairs) -> Tensor:
    """Rows of one layer: [I, A, H, D] -> float64 [H, I * 2 * len(pairs), D] on the CPU.

    The rows of an item are neighbours: agree, disagree of the first pair, then of the next.
    """
    columns = [column for pair in pairs for column in pair]
    answers = layer_x.shape[1]
    if not columns or any(agree == disagree for agree, disagree in pairs):
        raise InputError(f"answer pairs: expected (agree, disagree) columns that differ, found {list(pairs)}")
    if min(columns) < 0 or max(columns) >= answers:
        raise InputError(f"answer pairs: expected columns 0..{answers - 1}, found {list(pairs)}")
    picked = layer_x[:, columns].to(device="cpu", dtype=torch.float64)
    return picked.permute(2, 0, 1, 3).flatten(1, 2).contiguous()


def pair_labels(signs: NDArray[np.int8], n_pairs: int) -> tuple[Tensor, Tensor]:
    """Labels of the rows that `pair_rows` gives, for all personas.

    The pair of item i is labelled (1, 0) for (agree, disagree) where the persona's sign is +1, (0, 1) where it is -1,
    and left out where it is 0.

    Returns:
        labels float64 [P, R] in {0, 1} and usable float64 [P, R] in {0, 1}, with R = I * 2 * n_pairs.
    """
    if signs.ndim != 2 or not np.isin(signs, (-1, 0, 1)).all():
        raise InputError(f"signs: expected -1, 0 or 1 for each [persona, item], found shape {list(signs.shape)}")
    side = np.tile(np.array([1, -1], dtype=np.int8), n_pairs)
    of_row = torch.from_numpy((signs[:, :, None] * side).reshape(len(signs), -1))
    return (of_row > 0).double(), (of_row != 0).double()


def persona_name(index: int, ids: Sequence[str] | None) -> str:
    """How an error message calls persona `index`."""
    return f"persona {index}" if ids is None else f"persona '{ids[index]}'"
