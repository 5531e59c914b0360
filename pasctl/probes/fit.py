"""Train a probe for every persona and head, and score it on held-out items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pasctl.errors import InputError
from pasctl.probes.pairs import LayerSource, Pairs, layer_at, layer_count, pair_labels, pair_rows, persona_name


class ProbeMethod(Protocol):
    """What a probe method has to offer."""

    def fit(self, rows: Tensor, labels: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [H, R, D], labels and usable [P, R] (all float64) -> weights [P, H, D] and bias [P, H]."""
        ...


@dataclass(frozen=True, eq=False)
class ProbeScores:
    """How well each head tells each persona's answers apart, on validation items.

    Attributes:
        accuracy: float32 [P, L, H], share of validation rows on the right side; one exactly on the border counts half.
        log_loss: float32 [P, L, H], mean over validation rows, in nats.
        weights: float32 [P, L, H, D] for features as extracted, or None.
        bias: float32 [P, L, H], or None.
        n_train: int64 [P], training items with an answer that is not neutral.
        n_validation: int64 [P], validation items likewise.
    """

    accuracy: NDArray[np.float32]
    log_loss: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None
    n_train: NDArray[np.int64]
    n_validation: NDArray[np.int64]


def fit_probes(
    x: LayerSource,
    pairs: Pairs,
    signs: NDArray[np.int8],
    validation: NDArray[np.bool_],
    probe: ProbeMethod,
    *,
    n_layers: int | None = None,
    ids: Sequence[str] | None = None,
    keep_weights: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeScores:
    """Train on the items that are not held out, score on the others, layer by layer.

    A persona's scores depend on the other personas that are trained beside it by rounding at most.

    Args:
        x: head outputs [I, A, L, H, D] of the fit items, or a function from a layer to its [I, A, H, D].
        pairs: (agree, disagree) columns of the answer axis.
        signs: [P, I] in {-1, 0, 1}; 0 leaves the item out.
        validation: bool [I], True on held-out items.
        probe: the method.
        n_layers: L, needed when `x` is a function.
        ids: names of the personas, for error messages.
        keep_weights: keep the weights, H * D + H floats per persona and layer.
        progress: called with (layers done, layers) after each layer.

    Raises:
        InputError: shapes that do not fit, or a persona without a training or validation pair.
        PasctlError: a head output that is not finite.
    """
    depth = layer_count(x, n_layers)
    validation = np.asarray(validation, dtype=np.bool_)
    n_train, n_validation = _usable_items(signs, validation, ids)
    labels, usable = pair_labels(signs, len(pairs))
    held_out = torch.from_numpy(np.repeat(validation, 2 * len(pairs)))
    accuracy, log_loss, weights, biases = [], [], [], []
    for layer in range(depth):
        rows = _rows_of_layer(x, layer, pairs, items=len(validation))
        weight, bias = probe.fit(rows[:, ~held_out], labels[:, ~held_out], usable[:, ~held_out])
        logits = torch.einsum("phd,hrd->phr", weight, rows[:, held_out]) + bias[..., None]
        right, loss = score_rows(logits, labels[:, None, held_out], usable[:, None, held_out])
        accuracy.append(right.float().numpy())
        log_loss.append(loss.float().numpy())
        if keep_weights:
            weights.append(weight.float().numpy())
            biases.append(bias.float().numpy())
        if progress is not None:
            progress(layer + 1, depth)
    return ProbeScores(
        accuracy=np.stack(accuracy, axis=1),
        log_loss=np.stack(log_loss, axis=1),
        weights=np.stack(weights, axis=1) if keep_weights else None,
        bias=np.stack(biases, axis=1) if keep_weights else None,
        n_train=n_train,
        n_validation=n_validation,
    )


def _rows_of_layer(x: LayerSource, layer: int, pairs: Pairs, *, items: int) -> Tensor:
    """Rows [H, R, D] of a layer, of as many items as the split has."""
    layer_x = layer_at(x, layer)
    if len(layer_x) != items:
        raise InputError(f"layer {layer}: expected head outputs of {items} items, found {len(layer_x)}")
    return pair_rows(layer_x, pairs)


def score_rows(logits: Tensor, labels: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """Accuracy and mean log-loss over the last axis, usable rows only; a logit of exactly 0 counts half."""
    count = usable.sum(dim=-1)
    side = torch.sign(logits) * (2 * labels - 1)
    accuracy = (usable * (side + 1) / 2).sum(dim=-1) / count
    log_loss = (usable * (F.softplus(logits) - labels * logits)).sum(dim=-1) / count
    return accuracy, log_loss


def _usable_items(
    signs: NDArray[np.int8], validation: NDArray[np.bool_], ids: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Items with a usable answer in training and validation, [P] each; none is an error."""
    if signs.ndim != 2 or signs.shape[1] != len(validation):
        raise InputError(f"signs: expected [personas, {len(validation)} items], found shape {list(signs.shape)}")
    answered = signs != 0
    counts = answered[:, ~validation].sum(axis=1), answered[:, validation].sum(axis=1)
    for name, count in zip(("training", "validation"), counts, strict=True):
        if (count == 0).any():
            index = int(np.flatnonzero(count == 0)[0])
            raise InputError(
                f"{persona_name(index, ids)}: expected at least one {name} item answered other than 3, found none",
                hint="leave the persona out, or change the seed or the validation share",
            )
    return counts[0].astype(np.int64), counts[1].astype(np.int64)
