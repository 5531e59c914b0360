"""Who texts are written as: from the names that a user gives to steering deltas, and to words for both sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO, alpha_text
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.runner import Outcome
from pasctl.stages.steering import ResolvedTarget

if TYPE_CHECKING:
    from pasctl.models.geometry import Geometry
    from pasctl.steering.intervention import Intervention

_TERM = re.compile(r"\s*(?:(?P<weight>[+-]?\d*\.?\d+)\s*\*\s*)?(?P<persona>[^&]+?)\s*")
_OTHER = {"+": "-", "-": "+"}

Pairs = tuple[tuple[str, str], ...]
Terms = tuple[tuple[float, str], ...]
"""Weights and personas."""


@dataclass(frozen=True)
class Words:
    """System texts for the two sides of a target, each a pair (+, -).

    Attributes:
        prompts: what the model is prompted with, and the classifiers are fitted on.
        judges: what texts are judged by; directions are fitted on none of them.
    """

    prompts: Pairs
    judges: Pairs


@dataclass(frozen=True, eq=False)
class TextTarget:
    """A persona, or a weighted combination, that texts are written as.

    Attributes:
        name: as the user says it.
        terms: (weight, persona at its strength), per setting of alpha.
        words: for its two sides; None where there are none.
    """

    name: str
    terms: tuple[tuple[tuple[float, ResolvedTarget], ...], ...]
    words: Words | None

    @property
    def opposite(self) -> str:
        """What texts steered away from it are called."""
        if len(self.terms[0]) == 1 and self.name[-1] in _OTHER:
            return self.name[:-1] + _OTHER[self.name[-1]]
        return f"opposite of {self.name}"

    @property
    def alphas(self) -> tuple[float, ...]:
        """The strength of each setting; of a combination its first persona's."""
        return tuple(terms[0][1].alpha for terms in self.terms)

    @property
    def positions(self) -> str:
        """Where a text is steered."""
        return self.terms[0][0][1].positions

    @property
    def params(self) -> list[Any]:
        """What enters the key: strengths and directions of each setting."""
        return [[{"weight": weight, **target.params} for weight, target in terms] for terms in self.terms]

    def intervention(self, geometry: Geometry, setting: int, sign: float) -> Intervention:
        """The steering delta to the target at a setting, or away from it where `sign` is -1."""
        return weighted_sum([(sign * weight, each.intervention(geometry)) for weight, each in self.terms[setting]])


def weighted_sum(terms: Sequence[tuple[float, Intervention]]) -> Intervention:
    """The sum of weighted steering deltas."""
    from pasctl.steering.intervention import Intervention

    total: dict[int, Any] = {}
    for weight, intervention in terms:
        for layer, delta in intervention.displacements.items():
            total[layer] = total[layer] + weight * delta if layer in total else weight * delta
    return Intervention(total)


def parse_combination(name: str) -> Terms:
    """The weights and personas of "E+ & 0.5*N-".

    Raises:
        InputError: a part that is neither a persona nor a weight times one.
    """
    terms = []
    for part in name.split("&"):
        match = _TERM.fullmatch(part)
        if match is None:
            raise InputError(f"persona {name!r} has an empty part, expected for example 'E+ & 0.5*N-'")
        terms.append((float(match["weight"] or 1), match["persona"]))
    return tuple(terms)


def resolve_texts(
    catalog: PersonaCatalog,
    names: Sequence[str],
    alphas: Sequence[float | str],
    words_of: Callable[[Terms], Words | None],
) -> tuple[TextTarget, ...] | Outcome:
    """Find who is meant; where "auto" is asked for and no strength was chosen, one is chosen first.

    Args:
        catalog: whose personas may be named.
        names: of personas, or combinations.
        alphas: strengths; "auto" is each persona's own.
        words_of: gives the words for a combination's two sides.

    Returns:
        The targets; or, of a dry run, the outcome of what must be done first.

    Raises:
        InputError: no such persona, or one that is steered to elsewhere than the others.
    """
    targets = []
    for name in names:
        terms = parse_combination(name)
        for _, persona in terms if AUTO in alphas else ():
            made = catalog.choose(persona, AUTO)
            if made is not None and made.artifact is None:
                return made
        settings = tuple(tuple((weight, catalog.find(each, alpha)) for weight, each in terms) for alpha in alphas)
        if len({target.positions for setting in settings for _, target in setting}) > 1:
            raise InputError(f"{name} combines personas steered at different positions", hint="give --positions")
        targets.append(TextTarget(name, settings, words_of(terms)))
    return tuple(targets)


def strengths_of(targets: Sequence[TextTarget]) -> str:
    """The strengths in words, for notes."""
    return ", ".join(f"{each.name} at alpha {','.join(map(alpha_text, each.alphas))}" for each in targets)
