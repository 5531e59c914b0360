"""Words for the two sides of a persona: what the model is prompted with, and what its texts are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pasctl.contrasts import JUDGES, WORDINGS, Contrast, describe
from pasctl.errors import InputError
from pasctl.inventory.combination import parse_combination

Pairs = tuple[tuple[str, str], ...]

_OWN_JUDGES = (
    'Write as the person would of whom others say this. "{}"',
    'This is what your friends tell strangers about you. "{}" Be yourself.',
)
"""Frames that a user's own two descriptions are judged in; directions were fitted on the bare descriptions."""


@dataclass(frozen=True)
class Words:
    """System texts for the two sides of a persona, each a pair (+, -).

    Attributes:
        prompts: what the model is prompted with, and the classifiers are fitted on.
        judges: what texts are judged by; directions are fitted on none of them.
    """

    prompts: Pairs
    judges: Pairs


def words_by(contrast: Contrast | None) -> Callable[[str], Words | None]:
    """What gives the words of a persona: a pole of a trait or of the contrast, or a combination of such.

    The + side of a combination says what each of its parts is, the - side the opposite; weights are left out, but a
    negative one turns its part round. There are no words for a respondent, or for a contrast without system texts.
    """

    def words(name: str) -> Words | None:
        try:
            parts = [(weight, _of_pole(persona, contrast)) for weight, persona in parse_combination(name)]
        except InputError:  # an id with a star in it, which is no combination
            return None
        known = [(weight, of_pole) for weight, of_pole in parts if of_pole is not None]
        if len(known) < len(parts):
            return None
        prompts, judges = (
            _joined([_turned(getattr(of_pole, kind), weight < 0) for weight, of_pole in known])
            for kind in ("prompts", "judges")
        )
        return Words(prompts, judges)

    return words


def _of_pole(persona: str, contrast: Contrast | None) -> Words | None:
    """The words of a pole, + side first as the pole itself has it."""
    trait, side = persona[:-1], persona[-1:]
    if trait in WORDINGS and side in ("+", "-"):
        described = (
            tuple((describe(plus), describe(minus)) for plus, minus in table[trait]) for table in (WORDINGS, JUDGES)
        )
        prompts, judges = (_turned(pairs, side == "-") for pairs in described)
        return Words(prompts, judges)
    axis = next((each for each in contrast.axes if persona in (each.plus, each.minus)), None) if contrast else None
    if contrast is None or axis is None:
        return None
    systems = [(pair.plus.system, pair.minus.system) for pair in contrast.pairs if pair.axis == axis.name]
    pairs = tuple(dict.fromkeys((plus, minus) for plus, minus in systems if plus is not None and minus is not None))
    if not pairs:
        return None
    judges = tuple((frame.format(plus), frame.format(minus)) for plus, minus in pairs for frame in _OWN_JUDGES)
    minus_first = persona == axis.minus
    return Words(_turned(pairs, minus_first), _turned(judges, minus_first))


def _turned(pairs: Pairs, turn: bool) -> Pairs:
    return tuple((minus, plus) for plus, minus in pairs) if turn else pairs


def _joined(parts: Sequence[Pairs]) -> Pairs:
    """One pair per wording, which says all parts; a part with fewer wordings repeats its last one."""
    most = max(map(len, parts))
    full = [[*pairs, *[pairs[-1]] * (most - len(pairs))] for pairs in parts]
    rows = zip(*full, strict=True)
    return tuple((" ".join(plus for plus, _ in row), " ".join(minus for _, minus in row)) for row in map(list, rows))
