"""How well heads tell apart answers that were shuffled over the items: the level to read an accuracy beside.

The best of many heads tells any answers apart better than a coin does, since it is the best of many. What it reaches on
shuffled answers is what it reaches by chance (M. Ojala and G. C. Garriga, "Permutation tests for studying classifier
performance", Journal of Machine Learning Research 11, 2010).

All answers are predicted once, by cross-validation over the items: with a quarter of 30 items held out, a head that
knows nothing has .6 or more by luck so often that the best of 100 says nothing. And the probe is ridge regression,
whatever probe ranks the heads: one factor of a head and fold serves every persona and every order of the answers, where
logistic regression takes as long for each order as for the ranking itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.errors import InputError
from pasctl.probes.pairs import LayerSource, Pairs, layer_at, layer_count, pair_labels, pair_rows
from pasctl.probes.ridge import RidgeProbe

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PermutedAccuracy:
    """Cross-validated accuracies of P personas, as answered and with answers shuffled N times.

    Attributes:
        accuracy: float64 [P, L, H], share of rows of all fit items on the right side; one on the border counts half.
        permuted: float64 [N, P, L, H], the same of each order.
    """

    accuracy: Floats
    permuted: Floats

    def top(self, k: int) -> tuple[Floats, Floats]:
        """The mean of each persona's k highest accuracies [P], and of each order's [N, P]."""
        as_answered, shuffled = (
            np.partition(values.reshape(*values.shape[:-2], -1), -k, axis=-1)[..., -k:].mean(axis=-1)
            for values in (self.accuracy, self.permuted)
        )
        return as_answered, shuffled


def permuted_accuracy(
    x: LayerSource,
    pairs: Pairs,
    signs: NDArray[np.int8],
    fold: NDArray[np.integer],
    *,
    c: float = 1.0,
    permutations: int,
    seed: int,
    n_layers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PermutedAccuracy:
    """Cross-validate a ridge probe on every head, for the answers as given and shuffled.

    An order is the same for all personas: what they share, such as that most agree with an item, they share afterwards
    as well, so that a mean over personas scatters over the orders as it would by chance. Each persona keeps how often
    they agree, which alone tells answers apart where they mostly agree.

    Args:
        x: head outputs [I, A, L, H, D] of the fit items, or a function from a layer to its [I, A, H, D].
        pairs: (agree, disagree) columns of the answer axis.
        signs: [P, I] in {-1, 0, 1}; an item with 0 is not scored. Everybody has one that is not.
        fold: [I], in which part each item is held out.
        c: inverse strength of the probe's penalty.
        permutations: N orders.
        seed: seeds `np.random.default_rng`.
        n_layers: L, needed when `x` is a function.
        progress: called with (layers done, layers) after each layer.

    Raises:
        InputError: shapes that do not fit, fewer than two folds, or a persona without an answer.
        PasctlError: a head output that is not finite.
    """
    depth, people = layer_count(x, n_layers), len(signs)
    if signs.shape[1:] != fold.shape or len(np.unique(fold)) < 2 or not (signs != 0).any(axis=1).all():
        raise InputError(
            "permutations: expected answers [personas, items], a fold of each item in two parts or more, and an answer "
            f"of each persona, found shapes {list(signs.shape)} and {list(fold.shape)}"
        )
    rng = np.random.default_rng(seed)
    orders = [np.arange(signs.shape[1]), *(rng.permutation(signs.shape[1]) for _ in range(permutations))]
    labels, usable = pair_labels(np.concatenate([signs[:, order] for order in orders]), len(pairs))
    of_row = np.repeat(np.asarray(fold), 2 * len(pairs))
    probe, counts = RidgeProbe(c), usable.sum(dim=1)
    accuracy = []
    for layer in range(depth):
        rows = pair_rows(layer_at(x, layer), pairs)
        right = torch.stack(
            [_balance(probe, rows, labels, usable, torch.from_numpy(of_row == each)) for each in np.unique(fold)]
        )
        accuracy.append((right.sum(dim=0) / counts + 1) / 2)
        if progress is not None:
            progress(layer + 1, depth)
    of_head = torch.stack(accuracy).permute(2, 0, 1).reshape(len(orders), people, depth, -1).numpy()
    return PermutedAccuracy(of_head[0], of_head[1:])


def _balance(probe: RidgeProbe, rows: Tensor, labels: Tensor, usable: Tensor, held_out: Tensor) -> Tensor:
    """Held-out rows on the right side less those on the wrong one [H, P], with the probe fitted on the others."""
    weight, bias = probe.fit(rows[:, ~held_out], labels[:, ~held_out], usable[:, ~held_out])
    logits = torch.baddbmm(bias.T[..., None], weight.transpose(0, 1), rows[:, held_out].mT)
    side = (2 * labels[:, held_out] - 1) * usable[:, held_out]
    return logits.sign_().mul_(side).sum(dim=2)
