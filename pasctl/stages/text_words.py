"""Descriptions of both sides of a target: what the model is prompted with, and what judges its texts."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.stages.text_targets import Pairs, Terms, Words

_SIDE = {"+": 0, "-": 1}
_OWN_JUDGES = (
    "The following was said by somebody of whom friends say: {}.",
    "Continue the conversation in the voice of a person to whom this applies: {}.",
)
"""Wordings that a user's own two descriptions are judged by; directions are fitted on others."""


def words_of_terms(terms: Terms) -> Words | None:
    """The words for poles of traits and their combinations; None for anything else.

    The plus side of a combination says what each of its terms is, the minus side the opposite; weights are left out.
    """
    from pasctl.contrasts.descriptions import JUDGES, _D

    sides = [_pairs(weight, persona, _D) for weight, persona in terms]
    judges = [_pairs(weight, persona, JUDGES) for weight, persona in terms]
    if not all(sides) or not all(judges):
        return None
    return Words(_joined(sides), _joined(judges))


def _pairs(weight, persona, table) -> Pairs:
    if len(persona) != 2 or persona[0] not in table or persona[1] not in _SIDE:
        return ()
    turned = (persona[1] == "-") != (weight < 0)
    return tuple((minus, plus) if turned else (plus, minus) for plus, minus in table[persona[0]])


def _joined(terms: Sequence[Pairs]) -> Pairs:
    """One pair per wording, which says all terms; a term with fewer wordings repeats its last one."""
    most = max(map(len, terms))
    full = [[*pairs, *[pairs[-1]] * (most - len(pairs))] for pairs in terms]
    return tuple((" ".join(plus for plus, _ in row), " ".join(minus for _, minus in row)) for row in zip(*full, strict=True))
