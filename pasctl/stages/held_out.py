"""A model's answers to some items of an inventory, under any steering: what choices are made by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pasctl.inventory import LETTERS, Inventory, letter_levels, question

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


def expected_agreements(
    model: LoadedModel,
    inventory: Inventory,
    columns: NDArray[np.int64],
    interventions: Sequence[Intervention | None],
    *,
    positions: str,
    batch_tokens: int,
    counts: dict[str, int],
) -> NDArray[np.float64]:
    """The expected agreement with N items under U interventions [U, N], options in the forward order.

    Args:
        model: the loaded model.
        inventory: whose items are asked.
        columns: places of the N items.
        interventions: each of one row; None leaves the model as it is.
        positions: steer at "all" positions or only at the "answer".
        batch_tokens: bound on the tokens of one forward pass.
        counts: tokens asked and run are added to it.
    """
    from pasctl.evaluation.scoring import score_letters

    scores = score_letters(
        model,
        [model.chat.encode(question(inventory.items[column], inventory)) for column in columns],
        model.chat.letter_ids(LETTERS),
        batch_tokens=batch_tokens,
        interventions=interventions,
        positions=positions,
    )
    for name in ("tokens_asked", "tokens_run"):
        counts[name] = counts.get(name, 0) + getattr(scores, name)
    chances = np.exp(scores.logprobs.astype(np.float64))
    expected: NDArray[np.float64] = chances @ np.array(letter_levels("forward")) / chances.sum(axis=-1)
    return expected
