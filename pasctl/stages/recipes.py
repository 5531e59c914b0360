"""The default recipe, as far as it depends on the model: what directions are fitted on, and how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.contrasts.questionnaire import ITEMS, STATEMENTS, has_statements
from pasctl.inventory.usual import USUAL_TRAITS
from pasctl.models.identity import DEMO, resolve_model
from pasctl.models.layout import BUNDLED

if TYPE_CHECKING:
    from pasctl.inventory import Inventory
    from pasctl.stages.model import ModelHandle

BIG5 = "big5"
_LIMITS = {
    DEMO: "the demo model answers its questionnaire by letter and finds pass keys; it cannot write text",
    "demo-reader": "the reader looks up what texts of the memory tasks say; it cannot write text",
}


def limits(model: ModelHandle) -> str | None:
    """What a model of the package can do, none of which can write; None of any other model."""
    name = next((name for name in BUNDLED if model.identity == resolve_model(name).identity), None)
    return None if name is None else _LIMITS[name]


def default_contrast(model: ModelHandle, inventory: Inventory | None = None) -> str:
    """The contrast that `pasctl run` fits on: descriptions, or the questionnaire's own statements.

    There are descriptions of the usual traits only, written in words that the demo model has never seen. Statements
    need items of both keys; where a trait has none, the model is told how a person answers the items.

    Args:
        model: that is steered.
        inventory: the questionnaire; None where only the usual traits can be meant.
    """
    usual = inventory is None or set(inventory.traits) <= {trait.code for trait in USUAL_TRAITS}
    if model.identity == resolve_model(DEMO).identity:
        return ITEMS
    if inventory is None or usual:
        return BIG5
    return STATEMENTS if has_statements(inventory) else ITEMS
