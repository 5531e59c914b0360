"""How much of the probability the option letters have together where a model's answer begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.evaluation.readings import LEAST_MASS
from pasctl.inventory import Inventory, by_level, option_names, option_places, question
from pasctl.stages.job import StageContext

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel

Asked = tuple[int, str]
"""The place of an item in the inventory, and the order of its options."""
ASKED = 8
"""Questions that are asked: the mass is looked at, nothing is chosen by it."""
_FACT = "letters"
_NAMES = {"letters": "letters", "numbers": "numbers", "text": "texts"}
"""Option labels -> what they are called."""


def letter_mass(model: LoadedModel, inventory: Inventory, asked: Sequence[Asked], batch_tokens: int) -> float:
    """The letters' summed probability in the whole vocabulary, mean over questions, in [0, 1].

    Args:
        model: the loaded model.
        inventory: the questionnaire.
        asked: its items and the orders of their options; the first `ASKED` of them are asked.
        batch_tokens: bound on the tokens of a forward pass.

    Raises:
        InputError: the tokenizer has no tokens for the options.
    """
    from pasctl.evaluation.option_scoring import OptionPrompts, score_options

    asked = asked[:ASKED]
    prompts = [model.chat.encode(question(inventory.items[column], inventory, order)) for column, order in asked]
    places = np.concatenate([option_places(inventory, np.array([column]), order) for column, order in asked])
    options = OptionPrompts(prompts, model.chat.option_ids(option_names(inventory)), places)
    [scores] = score_options(model, options, batch_tokens=batch_tokens).logprobs
    levels = by_level(scores.astype(np.float64), places)
    return float(np.nansum(np.exp(levels), axis=-1).mean())


def note_letter_mass(
    work: StageContext, model: LoadedModel, inventory: Inventory, asked: Sequence[Asked], batch_tokens: int
) -> None:
    """Say what the letters have of the probability, and keep it with what the stage makes."""
    mass = letter_mass(model, inventory, asked, batch_tokens)
    labels = inventory.option_labels
    named = {} if labels == "letters" else {"labels": labels}
    work.provenance[_FACT] = {"mass": mass, "questions": min(ASKED, len(asked)), **named}
    if mass >= LEAST_MASS:  # else it is a warning of the artifact
        work.reporter.note(f"the option {_NAMES[labels]} have {mass:.2f} of the probability where the answer begins")


def mass_warning(mass: float, labels: str = "letters") -> str | None:
    """What a mass makes doubtful, or None."""
    if mass >= LEAST_MASS:
        return None
    return (
        f"the option {_NAMES[labels]} have {mass:.2f} of the probability where the answer begins, expected at least "
        f"{LEAST_MASS:g}: the model does not answer with a {labels.removesuffix('s')} there "
        "(statements need none: --contrast statements)"
    )


def stored_warning(provenance: Mapping[str, Any]) -> str | None:
    """The same of an artifact's provenance; None too where an earlier version kept no mass."""
    told = provenance.get(_FACT)
    return None if told is None else mass_warning(float(told["mass"]), told.get("labels", "letters"))
