"""What choices are made by: directions fitted without some items, and a model's answers to these under steering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.plan import FORKS
from pasctl.directions import DIRECTIONS
from pasctl.inventory import (
    Inventory,
    PersonaSet,
    expected_scores,
    option_names,
    option_places,
    option_scores,
    question,
    relative_chances,
    signs,
)
from pasctl.stages.fit_items import FitItems
from pasctl.stages.model import ModelHandle
from pasctl.stages.steering import DirectionSet

if TYPE_CHECKING:
    from pasctl.evaluation.option_scoring import OptionPrompts
    from pasctl.models.chat import ChatRenderer
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


def fitted_without(
    items: FitItems,
    personas: PersonaSet,
    held: NDArray[np.bool_],
    heads: NDArray[np.int64],
    method: str,
    center: str,
    size: int = 1,
) -> DirectionSet:
    """Directions fitted on the fit items that are not held out; where a persona has none in a head it is not shifted.

    Args:
        items: the fit items, I of them.
        personas: P personas.
        held: bool [I].
        heads: (layer, head) [P, K, 2].
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: one of `pasctl.directions.CENTERS`.
        size: how many heads are shifted as one.
    """
    from pasctl.directions.groups import fit_groups

    train = np.flatnonzero(~held)
    found = fit_groups(
        items.head_outputs[train],
        items.pairs,
        signs(personas.agreements[:, items.columns[train]], items.inventory.middle[items.columns[train]]),
        heads,
        DIRECTIONS.build(method),
        center,
        size=size,
        ids=personas.ids,
        lacking="any",
    )
    return DirectionSet(personas, found.heads, found.theta, found.sigma, size=size, site=items.site)


def answering_bytes(
    handle: ModelHandle,
    inventory: Inventory,
    columns: NDArray[np.int64],
    interventions: int,
    *,
    positions: str,
    batch_tokens: int,
) -> int:
    """Memory at the most while `expected_agreements` asks, from tokenizer and config alone; no weights are loaded.

    Raises:
        InputError: the model's memory limit cannot be kept.
    """
    from pasctl.evaluation.option_scoring import option_cost

    own_mask = handle.takes_masks()
    together = min(interventions, FORKS) if positions == "answer" and own_mask else 1
    return option_cost(
        handle.footprint(),
        _asked(handle.chat(), inventory, columns),
        interventions=together,
        batch_tokens=batch_tokens,
        own_mask=own_mask,
    ).memory_bytes


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
    from pasctl.evaluation.option_scoring import score_options

    scores = score_options(
        model,
        _asked(model.chat, inventory, columns),
        batch_tokens=batch_tokens,
        interventions=interventions,
        positions=positions,
    )
    for name in ("tokens_asked", "tokens_run"):
        counts[name] = counts.get(name, 0) + getattr(scores, name)
    return expected_scores(relative_chances(scores.logprobs), option_scores(inventory, columns, "forward"))


def _asked(chat: ChatRenderer, inventory: Inventory, columns: NDArray[np.int64]) -> OptionPrompts:
    """Items with their options in the forward order."""
    from pasctl.evaluation.option_scoring import OptionPrompts

    return OptionPrompts(
        [chat.encode(question(inventory.items[column], inventory)) for column in columns],
        chat.option_ids(option_names(inventory)),
        option_places(inventory, columns, "forward"),
    )
