"""The five traits that most personality inventories measure, and the order in which they are named."""

from __future__ import annotations

from collections.abc import Iterable

from pasctl.inventory.traits import Trait

USUAL_TRAITS = (
    Trait("O", "Openness", ("open", "curious", "imaginative"), ("conventional", "practical")),
    Trait("C", "Conscientiousness", ("conscientious", "organized"), ("careless", "disorganized")),
    Trait("E", "Extraversion", ("extraverted", "extroverted", "outgoing"), ("introverted", "shy")),
    Trait("A", "Agreeableness", ("agreeable", "kind"), ("disagreeable", "rude")),
    Trait("N", "Neuroticism", ("neurotic", "anxious"), ("calm", "stable"), desirable=-1),
)
"""Those of the built-in inventory and of PAPI."""
_USUAL = tuple(trait.code for trait in USUAL_TRAITS)


def in_order(codes: Iterable[str]) -> list[str]:
    """Each code once: in their usual order where all are of `USUAL_TRAITS`, else as they come."""
    found = dict.fromkeys(codes)
    return [code for code in _USUAL if code in found] if set(found) <= set(_USUAL) else list(found)
