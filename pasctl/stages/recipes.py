"""The default recipe, as far as it depends on the model: what directions are fitted on, and how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.contrasts.questionnaire import ITEMS
from pasctl.models.identity import DEMO, resolve_model

if TYPE_CHECKING:
    from pasctl.stages.model import ModelHandle

BIG5 = "big5"
CANNOT_WRITE = "the demo model answers its questionnaire by letter and finds pass keys; it cannot write text"


def is_demo(model: ModelHandle) -> bool:
    """Whether this is the bundled model, which knows its questionnaire and pass keys, and no other text."""
    return bool(model.identity == resolve_model(DEMO).identity)


def default_contrast(model: ModelHandle) -> str:
    """The contrast that `pasctl run` fits on: descriptions, or the questionnaire's own statements for the demo model.

    Descriptions are written in words that the demo model has never seen.
    """
    return ITEMS if is_demo(model) else BIG5
